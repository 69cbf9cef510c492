//! The effect of an interrupt on long lines of either side (contract W8, W9).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate::engine::compile::compile;
use callgate::engine::interrupt::Interrupt;
use callgate::engine::limits::Now;
use callgate::engine::session::{Answer, Diversion, Session, SessionOptions, Step, Turn};
use callgate::engine::wire::line::Side;

/// The shortest line that an interrupt affects, in bytes.
const LONG: usize = 1024 * 1024;

/// The beginning of a line, its repeated part, and its end.
type Shape = (&'static str, &'static str, &'static str);

const SHAPES: [Shape; 10] = [
    (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["#, "{},", "0]}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["#, "0,", "0]}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[{"a":0}"#, r#",{"a":0}"#, "]}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"#, " ", "0}}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"#, " ", "\"t\"}}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1,"#, " ", "\"a\":1}}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, " ", "\r"),
    ("[", "{\"id\":1,\"method\":\"x\"},", "0]"),
    ("[", "0,", "0]"),
    ("[", "[", "]"),
];

fn line((begin, again, end): Shape, length: usize) -> String {
    format!("{begin}{}{end}", again.repeat(length.div_ceil(again.len())))
}

fn session() -> Session {
    let policy = compile(br#"{"version":"1","default":"allow"}"#).unwrap();
    Session::new(Arc::new(policy), SessionOptions::default())
}

fn raise(session: &Session) {
    session.interrupt().flag().store(true, Ordering::Relaxed);
}

/// The result for a line, and whether the answer says that callgate stops.
fn outcome(session: &mut Session, side: Side, line: &str) -> (String, bool) {
    let (bytes, reason) = match session.handle(side, line.as_bytes(), Now::default()) {
        Turn::Do(Step::Answer(Answer { bytes, .. })) => (bytes, String::new()),
        Turn::Do(Step::Divert(Diversion { reason, answers, .. })) => (answers, reason.into_owned()),
        other => return (format!("{other:?}"), false),
    };
    let text = String::from_utf8(bytes).unwrap() + &reason;
    let tells = text.contains("callgate is told to stop");
    (text, tells)
}

/// True for a line that is refused for its first byte, or for a byte that the reader searches for.
fn is_refused_unread(side: Side, line: &str) -> bool {
    side == Side::Server && line.starts_with('[') || line.ends_with('\r')
}

#[test]
fn an_interrupt_refuses_only_long_lines() {
    for shape in SHAPES {
        for side in [Side::Client, Side::Server] {
            let (long, short) = (line(shape, LONG), line(shape, 64));
            let mut raised = session();
            raise(&raised);
            let (text, tells) = outcome(&mut raised, side, &long);
            assert!(tells != is_refused_unread(side, &long), "{shape:?} {text:.300}");
            assert_eq!(outcome(&mut raised, side, &short), outcome(&mut session(), side, &short));
        }
    }
}

#[test]
fn a_cleared_interrupt_refuses_nothing() {
    for shape in SHAPES {
        for side in [Side::Client, Side::Server] {
            let long = line(shape, LONG);
            let mut lowered = session();
            raise(&lowered);
            lowered.interrupt().lower();
            assert_eq!(outcome(&mut lowered, side, &long), outcome(&mut session(), side, &long));
        }
    }
}

#[test]
fn a_stopping_session_reads_long_lines_of_the_server_only() {
    for shape in SHAPES {
        let long = line(shape, LONG);
        let mut stopping = session();
        stopping.heed_stop();
        assert!(outcome(&mut stopping, Side::Client, &long).1, "{long:.300}");
        let read = outcome(&mut session(), Side::Server, &long);
        assert_eq!(outcome(&mut stopping, Side::Server, &long), read);
    }
    assert!(Interrupt::is_long(LONG) && !Interrupt::is_long(LONG - 1));
}
