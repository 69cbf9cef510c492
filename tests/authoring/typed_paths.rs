//! Paths as they are typed: an unexpanded path is refused (contract C3), only a recording is continued, and a file that
//! is not a recording is an error (contract S5, C2).

use crate::harness::gate::{callgate, shell, temp_dir};
use crate::harness::process::{End, Process};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
const CALL: &str = "{\"t\":\"2026-11-22T10:00:00.123Z\",\"from\":\"client\",\"text\":\"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":1,\\\"method\\\":\\\"tools/call\\\",\\\"params\\\":{\\\"name\\\":\\\"t\\\"}}\"}\n";

fn dir() -> TempDir {
    let dir = temp_dir();
    fs::write(dir.path().join("p.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    fs::write(dir.path().join("s.jsonl"), CALL).unwrap();
    dir
}

fn run(dir: &Path, words: &[&str]) -> End {
    Process::spawn(callgate(dir).current_dir(dir).args(words)).end()
}

/// contract C3, and its twins: a path that begins with a dot is taken literally.
#[test]
fn unexpanded_paths_are_refused() {
    let dir = dir();
    let before = fs::read_dir(dir.path()).unwrap().count();
    let options: [&[&str]; 18] = [
        &["wrap", "--policy", "@", "--", "true"],
        &["wrap", "--policy", "p.json", "--state", "@", "--", "true"],
        &["wrap", "--policy", "p.json", "--audit", "@", "--", "true"],
        &["wrap", "--policy", "p.json", "--record", "@", "--", "true"],
        &["explain", "--policy", "@", "t"],
        &["explain", "--policy", "p.json", "--state", "@", "t"],
        &["explain", "--policy", "p.json", "--matrix", "@"],
        &["replay", "--policy", "@", "s.jsonl"],
        &["replay", "--policy", "p.json", "--against", "@", "s.jsonl"],
        &["scan", "-o", "@", "--sessions", "s.jsonl"],
        &["scan", "--update", "@", "--sessions", "s.jsonl"],
        &["scan", "--sessions", "@"],
        &["import", "p.json", "-o", "@"],
        &["status", "--state", "@"],
        &["status", "--audit", "@"],
        &["log", "--state", "@"],
        &["log", "--audit", "@"],
        &["check", "@"],
    ];
    for words in options {
        for path in ["~/cg", "~", "$HOME/st", "a/${HOME}/b", "%APPDATA%/x"] {
            let words: Vec<&str> =
                words.iter().map(|word| if *word == "@" { path } else { word }).collect();
            let end = run(dir.path(), &words);
            assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{words:?}: {end:?}");
            assert!(
                end.stderr.contains("was not expanded, which only a shell does"),
                "{words:?}: {end:?}"
            );
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, "something was made");
}

/// The same for variables, which the error names, whatever the environment holds.
#[test]
fn unexpanded_paths_in_variables_are_refused() {
    let dir = dir();
    let before = fs::read_dir(dir.path()).unwrap().count();
    for (variable, path) in [("CALLGATE_STATE", "$HOME/st"), ("CALLGATE_POLICY", "~/p.json")] {
        for words in [
            &["wrap", "--policy", "p.json", "--", "true"][..],
            &["explain", "--policy", "p.json", "--server", "s", "t"],
            &["status"],
            &["log"],
            &["wrap", "--", "true"],
        ] {
            let needs_policy = variable == "CALLGATE_POLICY";
            if needs_policy != (words == ["wrap", "--", "true"]) {
                continue;
            }
            let end = Process::spawn(
                callgate(dir.path()).current_dir(dir.path()).env(variable, path).args(words),
            )
            .end();
            assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{words:?}: {end:?}");
            assert!(end.stderr.contains(variable), "{words:?}: {end:?}");
            assert!(!end.stderr.contains('<'), "an option that was not typed: {words:?}: {end:?}");
            assert!(end.stderr.contains("was not expanded"), "{words:?}: {end:?}");
        }
    }
    let mut typed = callgate(dir.path());
    typed.current_dir(dir.path()).env("CALLGATE_STATE", "memory");
    let end = Process::spawn(typed.args(["status", "--state", "~/st"])).end();
    assert!(
        end.stderr.starts_with("error: invalid value '~/st' for '--state <STATE>': "),
        "{end:?}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, "something was made");
}

/// A path that begins with `./` is taken literally, and so is an absolute one that exists.
#[test]
fn literal_paths_are_accepted() {
    let dir = dir();
    let end = run(dir.path(), &["wrap", "--policy", "p.json", "--state", "./~/cg", "--", "true"]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(dir.path().join("~/cg/audit").is_dir());
    fs::write(dir.path().join("a$b.json"), r#"{"version":"1","default":"allow"}"#).unwrap();
    assert_eq!(
        run(dir.path(), &["check", "a$b.json"]).code,
        Some(0),
        "a file that is there is meant"
    );
    let whole = dir.path().join("a$b.json");
    let missing = dir.path().join("c$d.json");
    for (path, code) in [
        ("./a$b.json", 0),
        (whole.to_str().unwrap(), 0),
        ("a$b.json", 2),
        (missing.to_str().unwrap(), 2),
    ] {
        let end = run(
            dir.path(),
            &["wrap", "--policy", path, "--state", "memory", "--no-audit", "--", "true"],
        );
        assert_eq!(end.code, Some(code), "{path}: {end:?}");
        assert_eq!(
            end.stderr.contains("or `./` before a name that holds it"),
            code == 2,
            "{path}: {end:?}"
        );
    }
}

/// The error names the encoding of a recording that an editor or a shell has written in another one.
#[test]
fn recordings_in_another_encoding_are_named() {
    let dir = dir();
    let line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    let wide = |order: fn(u16) -> [u8; 2]| line.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
    let utf8 = [b"\xef\xbb\xbf", line.as_bytes()].concat();
    for (content, says) in [
        (
            utf8,
            "it begins with a byte order mark; save it as UTF-8 without one, which `tail -c +4 FILE` does",
        ),
        (
            [b"\xff\xfe", &little[..]].concat(),
            "it is UTF-16; save it as UTF-8, which `iconv -f UTF-16 -t UTF-8 FILE` does",
        ),
        (
            [b"\xfe\xff", &big[..]].concat(),
            "it is UTF-16; save it as UTF-8, which `iconv -f UTF-16 -t UTF-8 FILE` does",
        ),
        (little, "it is UTF-16; save it as UTF-8, which `iconv -f UTF-16LE -t UTF-8 FILE` does"),
        (big, "it is UTF-16; save it as UTF-8, which `iconv -f UTF-16BE -t UTF-8 FILE` does"),
    ] {
        fs::write(dir.path().join("r"), content).unwrap();
        for words in [
            &["replay", "--policy", "p.json", "r"][..],
            &["scan", "--sessions", "r"],
            &["explain", "--policy", "p.json", "--matrix", "r"],
        ] {
            let end = run(dir.path(), words);
            assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{words:?}: {end:?}");
            assert_eq!(end.stderr, format!("error: `r` is not a recording: {says}\n"), "{words:?}");
        }
    }
}

/// contract S5: `--record` continues a recording, and no other file.
#[test]
fn only_a_recording_is_continued() {
    let dir = dir();
    let path = dir.path();
    let audit = r#"{"v":1,"time":"2026-11-22T10:00:00.123Z","event":"call"}"#;
    for (name, content) in [
        ("policy.json", "{\n \"version\": \"1\"\n}\n"),
        ("log.jsonl", audit),
        ("plain.jsonl", PING),
        ("notes.txt", "hello\n"),
        ("torn.jsonl", "{\"t\":\"2026-"),
    ] {
        fs::write(path.join(name), content).unwrap();
        let end = run(
            path,
            &["wrap", "--policy", "p.json", "--no-audit", "--record", name, "--", "true"],
        );
        let says = format!(
            "error: failed to open recording `{name}`: it is not empty, and no recording of `--record`\n"
        );
        assert_eq!((end.code, end.stderr), (Some(2), says), "{name}");
        assert_eq!(fs::read_to_string(path.join(name)).unwrap(), content, "{name}");
    }
    symlink("audit.jsonl", path.join("link.jsonl")).unwrap();
    for record in ["audit.jsonl", "link.jsonl"] {
        let end = run(
            path,
            &[
                "wrap",
                "--policy",
                "p.json",
                "--audit",
                "audit.jsonl",
                "--record",
                record,
                "--",
                "true",
            ],
        );
        let says = format!(
            "error: failed to open recording `{record}`: it is the audit log of this session\n"
        );
        assert_eq!((end.code, end.stderr), (Some(2), says));
    }
    let own = "st/audit/s.jsonl";
    let end = run(
        path,
        &[
            "wrap", "--policy", "p.json", "--state", "st", "--server", "s", "--record", own, "--",
            "true",
        ],
    );
    assert_eq!(end.code, Some(2), "{end:?}");
    for name in ["s.jsonl", "new.jsonl"] {
        for _ in 0..2 {
            let end = run(
                path,
                &["wrap", "--policy", "p.json", "--no-audit", "--record", name, "--", "true"],
            );
            assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""), "{name}");
        }
    }
}

/// contract C2: a file without any message is an error.
#[test]
fn a_file_that_is_not_a_recording_is_an_error() {
    let dir = dir();
    let path = dir.path();
    let utf16: Vec<u8> = PING.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("blank", b"\n \n".to_vec()),
        ("log", b"2026-11-22 10:00:00 [info] Message from client: {\"jsonrpc\":\"2.0\",\"id\":1}\nend\n".to_vec()),
        ("har", b"{\"log\":{\"version\":\"1.2\",\"entries\":[]}}\n".to_vec()),
        ("pretty", b"{\n  \"log\": {\n  }\n}\n".to_vec()),
        ("utf16", utf16),
        ("policy", fs::read(path.join("p.json")).unwrap()),
        ("noise", CALL.replace("\\\"jsonrpc\\\"", "\\\"json").into_bytes()),
    ];
    for (name, content) in files {
        fs::write(path.join(name), content).unwrap();
        for words in [
            &["replay", "--policy", "p.json", name][..],
            &["replay", "--policy", "p.json", "--fail-on", "deny", "--format", "json", name],
            &["scan", "-o", "out.json", "--sessions", "s.jsonl", name],
        ] {
            let end = run(path, words);
            assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{words:?}: {end:?}");
            let says = format!("error: `{name}` is not a recording: ");
            assert!(end.stderr.starts_with(&says), "{words:?}: {end:?}");
            assert!(!path.join("out.json").exists(), "{words:?}");
        }
        assert_eq!(run(path, &["explain", "--policy", "p.json", "--matrix", name]).code, Some(2));
    }
    // A refused line is no reason for an error if another line is a message.
    fs::write(path.join("mixed"), format!("garbage\n{PING}more\n")).unwrap();
    let end = run(path, &["replay", "--policy", "p.json", "mixed"]);
    assert_eq!(end.code, Some(0), "{end:?}");
    assert!(end.stdout.starts_with("line 1        refused"), "{end:?}");
    assert_eq!(run(path, &["scan", "-o", "out.json", "--sessions", "mixed"]).code, Some(0));
}

/// contract S5: recordings are files and pipes; a device may never end.
#[test]
fn recordings_are_files_and_pipes() {
    let dir = dir();
    let path = dir.path();
    for device in ["/dev/zero", "/dev/null"] {
        for words in [
            &["replay", "--policy", "p.json", device][..],
            &["scan", "--sessions", device],
            &["explain", "--policy", "p.json", "--matrix", device],
        ] {
            let end = run(path, words);
            assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{words:?}: {end:?}");
            let says = format!(
                "error: failed to read recording `{device}`: neither a regular file nor a pipe\n"
            );
            assert_eq!(end.stderr, says, "{words:?}");
        }
    }
    let script = "callgate replay --policy p.json - </dev/null; echo $?; cat s.jsonl | callgate replay --policy p.json /dev/stdin; callgate replay --policy p.json <s.jsonl; mkfifo f; cat s.jsonl >f & callgate replay --policy p.json f";
    let output = shell(path, script).current_dir(path).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "error: failed to read recording `-`: neither a regular file nor a pipe\n");
    let (code, rest) = stdout.split_once('\n').unwrap();
    assert_eq!((code, rest.matches("1 call: 1 allowed, 0 denied").count()), ("2", 3), "{stdout}");
}

/// contract S5: a line may be at most three times as long as a message.
#[test]
fn lines_of_recordings_have_a_bound() {
    let dir = dir();
    let file = fs::File::create(dir.path().join("long")).unwrap();
    file.set_len(3 * 64 * 1024 * 1024 + 1).unwrap();
    let end = run(dir.path(), &["replay", "--policy", "p.json", "long"]);
    let says = "error: failed to read recording `long`: line 1 is longer than 192 MiB\n";
    assert_eq!((end.code, end.stderr.as_str()), (Some(2), says));
}

/// contract C4: a name that comes from a path differs on each machine, and a hint names counters under the old name.
#[test]
fn names_that_come_from_paths() {
    let dir = dir();
    let path = dir.path();
    fs::write(path.join("limited.json"), r#"{"version":"1","default":"allow","tools":{"t":{"limits":[{"counter":"c","window":"day","max":9}]}}}"#).unwrap();
    fs::write(
        path.join("srv.sh"),
        "while read -r line; do echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}'; done\n",
    )
    .unwrap();
    let redis = [
        "wrap",
        "--policy",
        "p.json",
        "--no-audit",
        "--state",
        "redis://127.0.0.1:1",
        "--",
        "sh",
        "srv.sh",
    ];
    let end = run(path, &redis);
    assert_eq!((end.code, end.stdout.as_str()), (Some(2), ""), "{end:?}");
    let says = "error: failed to name the server for counters in Redis: the name would come from a path, as `srv-";
    assert!(end.stderr.starts_with(says), "{end:?}");
    let named = [
        "wrap",
        "--server",
        "s",
        "--policy",
        "p.json",
        "--no-audit",
        "--state",
        "redis://127.0.0.1:1",
        "--",
        "sh",
        "srv.sh",
    ];
    assert_eq!(run(path, &named).code, Some(0));

    let call =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"t\"}}\n";
    let wrap = |more: &[&str], input: &str| {
        let words =
            [&["wrap", "--policy", "limited.json", "--state", "st"], more, &["--", "sh", "srv.sh"]]
                .concat();
        let mut process = Process::spawn(callgate(path).current_dir(path).args(words));
        process.write(input.into());
        let end = process.end();
        assert_eq!(end.code, Some(0), "{end:?}");
        end.stderr
    };
    assert_eq!(wrap(&[], ""), "", "nothing was ever counted");
    assert_eq!(wrap(&["--server", "srv"], call), "");
    let hint = wrap(&[], "");
    assert!(hint.starts_with("callgate: an older callgate kept counters under the name `srv`, and this server is now `srv-"), "{hint}");
    assert!(
        hint.ends_with("`: `--server srv` continues them\n") && hint.lines().count() == 1,
        "{hint}"
    );
    assert_eq!(wrap(&["--server", "srv"], ""), "");
    assert!(!wrap(&[], call).is_empty());
    assert_eq!(wrap(&[], ""), "", "it has counters of its own");
}
