//! The cost of a line (contract W8): memory of at most four times its length, including the line, and time in
//! proportion to it, whatever it contains.
//!
//! ```text
//! c[              the sender, and what the line begins with; S and C: as the first line of a modern session
//! {"id":1},       what is repeated until the line is long enough; `#` is a number that grows
//! ]               what it ends with
//! ```

pub(crate) mod counting;

use std::fs;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use callgate::engine::compile::compile;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::policy::Policy;
use callgate::engine::session::{RecordDetail, Session, SessionOptions, Step};
use callgate::engine::wire::line::Side;

use self::counting::peak_of;

/// The length of a line, in bytes: long enough that costs independent of the length do not matter. Without optimisation
/// lines are shorter, and only costs that grow faster than the line show.
const LENGTH: usize = if cfg!(debug_assertions) { 64 } else { 256 } * 1024;
/// Memory in addition to three times the line: pieces of answers, and tables of initial size.
const SMALL: usize = 256 * 1024;
/// The time for each byte, and for each line. A frame of 64 MiB may take half a second, which is 8 ns a byte; these
/// values leave room for slow machines and builds.
const BYTE: Duration = Duration::from_nanos(if cfg!(debug_assertions) { 3000 } else { 80 });
const LINE: Duration = Duration::from_millis(50);

const NOW: Now = Now { wall_ms: 1_790_000_000_000, monotonic_ms: 0 };

static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| {
    let text = r#"{"version":"1","default":"allow","hide":["h","x*y*z"],"hide_denied":true,
        "methods":{"sampling/*":"deny","roots/list":"deny"},
        "tools":{"t*":{"deny_if":[{"conditions":[{"path":"args.amount","op":"gt","value":1}]}]},
            "d":{"action":"deny"},"l":{"rate_limit":{"max":1,"window":60}}}}"#;
    Arc::new(compile(text.as_bytes()).expect("a policy of ours"))
});

/// See the [format](self).
pub(crate) fn check(input: &[u8]) {
    let mut parts = input.splitn(3, |&byte| byte == b'\n');
    let Some((&sender, begin)) = parts.next().and_then(|head| head.split_first()) else { return };
    let (again, end) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let line = line(begin, again, end);
    let (side, modern) = match sender {
        b's' => (Side::Server, false),
        b'S' => (Side::Server, true),
        b'C' => (Side::Client, true),
        _ => (Side::Client, false),
    };
    let options = SessionOptions { records: RecordDetail::Values, ..SessionOptions::default() };
    let mut session = Session::new(Arc::clone(&POLICY), options);
    ask(&mut session, modern);
    let begun = cpu_time();
    let ((), peak) = peak_of(|| relay(&mut session, side, &line));
    let spent = cpu_time().saturating_sub(begun);
    let most = 3 * line.len() + SMALL;
    assert!(peak <= most, "{peak} bytes for a line of {}", line.len());
    let most = LINE + BYTE * u32::try_from(line.len()).unwrap_or(u32::MAX);
    assert!(spent <= most, "{spent:?} for a line of {} bytes", line.len());
}

/// Sends requests that the line may answer.
fn ask(session: &mut Session, modern: bool) {
    let meta =
        if modern { r#""_meta":{"io.modelcontextprotocol/protocolVersion":"x"},"# } else { "" };
    for (id, method) in [(1, "tools/list"), (2, "tools/call"), (3, "initialize"), (4, "tools/call")]
    {
        let line = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{meta}"name":"n"}}}}"#
        );
        let _ = session.handle(Side::Client, line.as_bytes(), NOW);
    }
}

/// Handles a line as the shell does.
fn relay(session: &mut Session, side: Side, line: &[u8]) {
    let step = session.handle_with(&mut MemoryLedger::default(), side, line, NOW);
    if let Step::AnswerBatch { mut batch, .. } = step {
        while !batch.is_done() {
            let _ = session.next_answers(line, &mut batch);
        }
    }
}

fn line(begin: &[u8], again: &[u8], end: &[u8]) -> Vec<u8> {
    let mut line = begin.to_vec();
    let hole = again.iter().position(|&byte| byte == b'#');
    for number in 0_usize.. {
        if line.len() + end.len() >= LENGTH || again.is_empty() {
            break;
        }
        match hole.and_then(|at| again.split_at_checked(at)) {
            Some((before, behind)) => {
                line.extend_from_slice(before);
                line.extend_from_slice(format!("{number:x}").as_bytes());
                line.extend_from_slice(behind.get(1..).unwrap_or_default());
            }
            None => line.extend_from_slice(again),
        }
    }
    // The repeated part usually ends with a comma.
    if line.last() == Some(&b',') {
        line.pop();
    }
    line.extend_from_slice(end);
    line.retain(|&byte| byte != b'\n');
    line
}

/// The CPU time of this thread, which other load on the machine does not affect.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
