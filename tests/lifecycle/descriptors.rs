//! Any kind of stdin and stdout works, and is left as it was.

use crate::harness::gate::{Wrap, call, ok, temp_dir};
use crate::harness::process::End;
use crate::harness::streams::Streams;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

/// Every kind of stream that a client, a shell or a person uses.
fn kinds() -> Vec<(&'static str, Streams)> {
    let pipe_in = Streams::pipes();
    let socket_in = Streams::sockets();
    vec![
        ("pipes", Streams::pipes()),
        ("sockets", Streams::sockets()),
        ("one socket", Streams::one_socket()),
        (
            "pipe and socket",
            Streams { stdin: pipe_in.stdin, input: pipe_in.input, ..Streams::sockets() },
        ),
        (
            "socket and pipe",
            Streams { stdin: socket_in.stdin, input: socket_in.input, ..Streams::pipes() },
        ),
        #[cfg(target_os = "linux")]
        ("terminal", Streams::terminal()),
    ]
}

fn flags(descriptors: &[OwnedFd]) -> Vec<OFlags> {
    descriptors.iter().map(|descriptor| fcntl_getfl(descriptor).unwrap()).collect()
}

/// Runs a session over each kind, and checks that no flag of the shared descriptors changes during or after it.
fn is_served_and_left_alone(name: &str, streams: Streams, shared: Vec<OwnedFd>, before: &[OFlags]) {
    let mut gate = Wrap::allow_all().on(streams).serve(&json!(["echo"]));
    for id in 0..500 {
        gate.send(call(id));
    }
    for id in 0..500 {
        assert_eq!(gate.try_recv(), Ok(ok(id)), "{name}");
    }
    assert_eq!(flags(&shared), before, "{name}, while it runs");
    gate.close_input();
    assert_eq!(gate.exit_code(), Some(0), "{name}");
    assert_eq!(flags(&shared), before, "{name}, behind it");
    drop(shared);
    assert_eq!(gate.wait(), End::quiet(0), "{name}");
}

/// `O_NONBLOCK` belongs to the open file, which other processes share.
#[test]
fn every_kind_of_descriptor_is_served_and_left_alone() {
    for (name, streams) in kinds() {
        let shared = Vec::from(streams.shared());
        let before = flags(&shared);
        assert!(!before.iter().any(|flags| flags.contains(OFlags::NONBLOCK)));
        is_served_and_left_alone(name, streams, shared, &before);
    }
}

/// The flag is not removed either if another process, such as Node.js on the same terminal, has set it.
#[test]
fn a_descriptor_that_others_made_nonblocking_stays_so() {
    for (name, streams) in kinds() {
        let shared = Vec::from(streams.shared());
        for descriptor in &shared {
            let flags = fcntl_getfl(descriptor).unwrap();
            fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).unwrap();
        }
        let before = flags(&shared);
        assert!(before.iter().all(|flags| flags.contains(OFlags::NONBLOCK)));
        is_served_and_left_alone(name, streams, shared, &before);
    }
}

/// contract W6: stderr is shared with the server and its readers, and in `2>&1` also with stdout.
#[test]
fn stderr_is_served_and_left_alone() {
    for (name, streams) in kinds() {
        let shared = Vec::from(streams.shared());
        let before = flags(&shared);
        let stderr = shared[1].try_clone().unwrap();
        let script = json!([{ "recv": 1 }, { "send": "noise" }, { "send": ok(1) }]);
        let mut gate = Wrap::allow_all().on(streams).stderr(stderr).serve(&script);
        assert_eq!(
            gate.ask(call(1)),
            "callgate: server wrote (not a JSON object): noise",
            "{name}"
        );
        assert_eq!(gate.recv(), ok(1), "{name}");
        assert_eq!(flags(&shared), before, "{name}, while it runs");
        gate.close_input();
        assert_eq!(gate.exit_code(), Some(0), "{name}");
        assert_eq!(flags(&shared), before, "{name}, behind it");
    }
}

/// A session of three calls in a file, after a line that is not part of it.
fn session_file() -> File {
    let mut file = tempfile::tempfile().unwrap();
    writeln!(file, "a line of somebody else\n{}\n{}\n{}", call(1), call(2), call(3)).unwrap();
    file.seek(SeekFrom::Start("a line of somebody else\n".len() as u64)).unwrap();
    file
}

fn three_answers() -> String {
    [1, 2, 3].map(|id| ok(id) + "\n").concat()
}

/// As in `{ read line; callgate …; cat; } <file`.
#[test]
fn a_file_is_read_from_its_offset() {
    let mut file = session_file();
    let length = file.metadata().unwrap().len();
    let streams = Streams::pipes().reading(file.try_clone().unwrap());
    let mut gate = Wrap::allow_all().on(streams).serve(&json!(["echo"]));
    assert_eq!(gate.wait(), End { stdout: three_answers(), ..End::quiet(0) });
    assert_eq!(file.stream_position().unwrap(), length);
}

/// As in `{ echo before; callgate …; echo behind; } >file`.
#[test]
fn a_file_is_written_from_its_offset() {
    let mut file = tempfile::tempfile().unwrap();
    writeln!(file, "before").unwrap();
    let streams = Streams::pipes().reading(session_file()).writing(file.try_clone().unwrap());
    let mut gate = Wrap::allow_all().on(streams).serve(&json!(["echo"]));
    assert_eq!(gate.wait(), End::quiet(0));
    writeln!(file, "behind").unwrap();
    file.rewind().unwrap();
    let mut written = String::new();
    file.read_to_string(&mut written).unwrap();
    assert_eq!(written, format!("before\n{}behind\n", three_answers()));
}

/// As in `callgate … >>file`, to which other processes append too.
#[test]
fn a_file_that_is_appended_to_stays_so() {
    let dir = temp_dir();
    let path = dir.path().join("file");
    let append = || File::options().create(true).append(true).open(&path).unwrap();
    writeln!(append(), "before").unwrap();
    let stdout = append();
    let shared = [stdout.try_clone().unwrap().into()];
    let before = flags(&shared);
    let script = json!([{ "recv": 1 }, { "send": ok(1) }, { "stderr": "asked" }, "echo"]);
    let mut gate = Wrap::allow_all().on(Streams::pipes().writing(stdout)).serve(&script);
    gate.send(call(1));
    assert_eq!(gate.error_line(), "asked");
    assert_eq!(flags(&shared), before);
    writeln!(append(), "between").unwrap();
    gate.send(call(2));
    assert_eq!(gate.end(), End::quiet(0));
    assert_eq!(flags(&shared), before);
    let written = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = written.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"before"), Some(&ok(2).as_str())));
    // The order of these two is a race.
    lines.sort_unstable();
    assert_eq!(lines, ["before", "between", &ok(1), &ok(2)]);
}

/// Runs callgate as a shell does with these redirections; returns the requests that the server received.
fn redirected(redirections: &str) -> (End, Vec<String>) {
    let shell = format!(r#"exec "$0" "$@" {redirections}"#);
    let streams = Streams::pipes().reading(session_file());
    let mut gate =
        Wrap::allow_all().launched_by(["sh", "-c", &shell]).on(streams).serve(&json!(["echo"]));
    (gate.wait(), gate.received())
}

/// A closed descriptor counts as `/dev/null`, and none of the session's own descriptors takes its number.
#[test]
fn closed_and_null_descriptors_do_no_harm() {
    let all = [1, 2, 3].map(call);
    for stdin in ["<&-", "</dev/null"] {
        assert_eq!(redirected(stdin), (End::quiet(0), vec![]), "{stdin}");
    }
    for stdout in [">&-", ">/dev/null", ">&- 2>&-"] {
        assert_eq!(redirected(stdout), (End::quiet(0), all.to_vec()), "{stdout}");
    }
    for both in ["<&- >&-", "<&- >&- 2>&-", "</dev/null >/dev/null"] {
        assert_eq!(redirected(both), (End::quiet(0), vec![]), "{both}");
    }
    let (end, _) = redirected("2>&-");
    assert_eq!(end, End { stdout: three_answers(), ..End::quiet(0) });
}

/// A full disk is a stdout that accepts nothing more: the session ends.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_session() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let streams = Streams::pipes().writing(full);
    let mut gate = Wrap::allow_all().on(streams).serve(&json!(["echo"]));
    gate.send(call(1));
    let stderr = "callgate: failed to write to stdout: No space left on device\n".to_owned();
    assert_eq!(gate.wait_for_stop(), End { stderr, ..End::quiet(2) });
}
