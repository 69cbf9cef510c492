//! Tampered logs, and the line that `verify` names for each; the untouched log passes.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use callgate::shell::audit::verify::verify;
use callgate::shell::digest::Hash;
use proptest::prelude::{ProptestConfig, any};
use proptest::proptest;

use super::{Log, append, body, lines};

/// A log of several files, all of them kept.
fn log() -> Log {
    let log = Log::new(40_000);
    let mut chain = log.open();
    for number in 0..120 {
        append(&mut chain, &[body(0, number)]);
    }
    assert_eq!(log.files().len(), 3, "{:?}", log.files());
    log.is_intact();
    log
}

fn write(file: &Path, lines: &[String]) {
    fs::write(file, lines.join("\n") + "\n").unwrap();
}

/// Changes the lines of a file; line numbers start at 1.
fn edit(file: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines = lines(file);
    change(&mut lines);
    write(file, &lines);
}

fn append_text(file: &Path, text: &str) {
    OpenOptions::new().append(true).open(file).unwrap().write_all(text.as_bytes()).unwrap();
}

/// The place of a fault: the file, counted from the oldest original one, and the line in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    Line(usize, u64),
    /// The last line of that file.
    LastLine(usize),
    /// The file as a whole.
    File(usize),
    Head,
}

type Mutation = (&'static str, fn(&Log, &[PathBuf]), Blame, &'static str);

/// A manipulation, the place that `verify` must name, and a part of its message.
const MUTATIONS: [Mutation; 41] = [
    (
        "a byte in a line",
        |_, f| edit(&f[1], |l| l[9] = l[9].replace("\"writer\":0", "\"writer\":1")),
        Blame::Line(1, 10),
        "changed",
    ),
    (
        "a byte in the first line",
        |_, f| edit(&f[0], |l| l[0] = l[0].replace("\"number\":0", "\"number\":1")),
        Blame::Line(0, 1),
        "changed",
    ),
    (
        "a byte in the last line",
        |_, f| {
            edit(&f[2], |l| {
                let last = l.last_mut().unwrap();
                *last = last.replace("2026", "2027");
            });
        },
        Blame::LastLine(2),
        "changed",
    ),
    (
        "a byte in the last line but one",
        |_, f| {
            edit(&f[2], |l| {
                let n = l.len() - 2;
                l[n] = l[n].replace("2026", "2027");
            });
        },
        Blame::Line(2, 0),
        "changed",
    ),
    (
        "a byte in the last line of a rotated file",
        |_, f| {
            edit(&f[0], |l| {
                let last = l.last_mut().unwrap();
                *last = last.replace("2026", "2027");
            });
        },
        Blame::LastLine(0),
        "changed",
    ),
    (
        "the seq of a line",
        |_, f| edit(&f[0], |l| l[9] = l[9].replace("\"seq\":10,", "\"seq\":11,")),
        Blame::Line(0, 10),
        "line 11",
    ),
    (
        "the prev of a line",
        |_, f| edit(&f[0], |l| l[9].replace_range(18..22, "0000")),
        Blame::Line(0, 10),
        "changed",
    ),
    (
        "a brace in a line",
        |_, f| edit(&f[0], |l| l[9] = l[9].replace('{', "[")),
        Blame::Line(0, 10),
        "not a line",
    ),
    (
        "a line removed",
        |_, f| edit(&f[1], |l| drop(l.remove(9))),
        Blame::Line(1, 10),
        "is missing before",
    ),
    (
        "three lines removed",
        |_, f| edit(&f[1], |l| drop(l.drain(9..12))),
        Blame::Line(1, 10),
        "are missing before",
    ),
    (
        "the first line removed",
        |_, f| edit(&f[0], |l| drop(l.remove(0))),
        Blame::Line(0, 1),
        "line 1 is missing",
    ),
    (
        "the first line of a file removed",
        |_, f| edit(&f[1], |l| drop(l.remove(0))),
        Blame::Line(1, 1),
        "is missing before",
    ),
    (
        "the last line of a rotated file removed",
        |_, f| edit(&f[0], |l| drop(l.pop())),
        Blame::Line(1, 1),
        "is missing before",
    ),
    ("a pair swapped", |_, f| edit(&f[1], |l| l.swap(9, 10)), Blame::Line(1, 10), "moved"),
    (
        "two lines far apart swapped",
        |_, f| edit(&f[1], |l| l.swap(9, 20)),
        Blame::Line(1, 10),
        "moved",
    ),
    ("the tail cut", |_, f| edit(&f[2], |l| l.truncate(5)), Blame::Line(2, 5), "cut off"),
    (
        "the tail cut by one line",
        |_, f| edit(&f[2], |l| drop(l.pop())),
        Blame::LastLine(2),
        "cut off",
    ),
    (
        "the tail cut within a line",
        |_, f| {
            let text = fs::read(&f[2]).unwrap();
            fs::write(&f[2], &text[..text.len() - 9]).unwrap();
        },
        Blame::LastLine(2),
        "cut off",
    ),
    (
        "the last line feed cut",
        |_, f| {
            let text = fs::read(&f[2]).unwrap();
            fs::write(&f[2], &text[..text.len() - 1]).unwrap();
        },
        Blame::LastLine(2),
        "cut off",
    ),
    (
        "the current file emptied",
        |_, f| fs::write(&f[2], "").unwrap(),
        Blame::LastLine(1),
        "cut off",
    ),
    (
        "a rotated file cut within a line",
        |_, f| {
            let text = fs::read(&f[0]).unwrap();
            fs::write(&f[0], &text[..text.len() - 9]).unwrap();
        },
        Blame::LastLine(0),
        "cut off",
    ),
    (
        "the newest file removed",
        |_, f| fs::remove_file(&f[2]).unwrap(),
        Blame::File(2),
        "the file is missing",
    ),
    (
        "the middle file removed",
        |_, f| fs::remove_file(&f[1]).unwrap(),
        Blame::Line(2, 1),
        "missing before",
    ),
    (
        "the oldest file removed",
        |_, f| fs::remove_file(&f[0]).unwrap(),
        Blame::Line(1, 1),
        "lines 1 to",
    ),
    (
        "all files removed",
        |_, f| f.iter().for_each(|file| fs::remove_file(file).unwrap()),
        Blame::File(2),
        "missing",
    ),
    (
        "a forged line inserted",
        |_, f| {
            edit(&f[1], |l| {
                let forged = l[9].replace("\"writer\":0", "\"writer\":1");
                l.insert(9, forged);
            });
        },
        Blame::Line(1, 10),
        "inserted",
    ),
    (
        "a forged line inserted behind its twin",
        |_, f| {
            edit(&f[1], |l| {
                let forged = l[9].replace("\"writer\":0", "\"writer\":1");
                l.insert(10, forged);
            });
        },
        Blame::Line(1, 11),
        "inserted",
    ),
    (
        "a line inserted that is bound to the one before",
        |_, f| {
            edit(&f[1], |l| {
                let forged = bound_to(&l[8]);
                l.insert(9, forged);
            });
        },
        Blame::Line(1, 10),
        "inserted",
    ),
    (
        "a line twice",
        |_, f| edit(&f[1], |l| l.insert(10, l[9].clone())),
        Blame::Line(1, 10),
        "inserted",
    ),
    (
        "a line appended twice",
        |_, f| edit(&f[2], |l| l.push(l[l.len() - 1].clone())),
        Blame::LastLine(2),
        "moved or inserted",
    ),
    (
        "another text inserted",
        |_, f| edit(&f[1], |l| l.insert(9, "hello".to_owned())),
        Blame::Line(1, 10),
        "not a line",
    ),
    (
        "a blank line inserted",
        |_, f| edit(&f[1], |l| l.insert(9, " ".to_owned())),
        Blame::Line(1, 10),
        "not a line",
    ),
    (
        "an empty line inserted",
        |_, f| edit(&f[1], |l| l.insert(9, String::new())),
        Blame::Line(1, 10),
        "not a line",
    ),
    ("an empty line appended", |_, f| append_text(&f[2], "\n"), Blame::LastLine(2), "not a line"),
    (
        "an empty line at the end of a rotated file",
        |_, f| append_text(&f[0], "\n"),
        Blame::LastLine(0),
        "not a line",
    ),
    ("a text appended", |_, f| append_text(&f[2], "hello\n"), Blame::LastLine(2), "not a line"),
    (
        "a text appended without end",
        |_, f| append_text(&f[2], "hello"),
        Blame::LastLine(2),
        "not a line",
    ),
    (
        "a long text inserted",
        |_, f| edit(&f[1], |l| l.insert(9, "x".repeat(3_000_000))),
        Blame::Line(1, 10),
        "not a line",
    ),
    (
        "files swapped",
        |log, f| {
            let aside = log.dir.path().join("aside");
            fs::rename(&f[0], &aside).unwrap();
            fs::rename(&f[1], &f[0]).unwrap();
            fs::rename(&aside, &f[1]).unwrap();
        },
        Blame::Line(0, 1),
        "missing before",
    ),
    (
        "the head removed",
        |log, _| fs::remove_file(log.head()).unwrap(),
        Blame::Head,
        "the head is missing",
    ),
    (
        "the head damaged",
        |log, _| fs::write(log.head(), "{}").unwrap(),
        Blame::Head,
        "the head is damaged",
    ),
];

/// A line that validly follows this one.
fn bound_to(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let seq = value["seq"].as_u64().unwrap() + 1;
    format!(r#"{{"seq":{seq},"prev":"{}","forged":true}}"#, Hash::of(line.as_bytes()))
}

/// contract S4: each manipulation is found, and its line is named.
#[test]
fn verify_names_the_line_of_every_manipulation() {
    for (name, mutate, blame, says) in MUTATIONS {
        let log = log();
        let files = log.files();
        mutate(&log, &files);
        let wrong = log.report().wrong.unwrap_or_else(|| panic!("{name}: not found"));
        let count = |nth: usize| {
            let text = fs::read(&files[nth]).unwrap();
            text.split_inclusive(|b| *b == b'\n').count() as u64
        };
        let expected = match blame {
            // Counted from the end.
            Blame::Line(nth, 0) => (files[nth].clone(), Some(count(nth) - 1)),
            Blame::Line(nth, line) => (files[nth].clone(), Some(line)),
            Blame::LastLine(nth) => (files[nth].clone(), Some(count(nth))),
            Blame::File(nth) => (files[nth].clone(), None),
            Blame::Head => (log.head(), None),
        };
        assert_eq!((wrong.file.clone(), wrong.line), expected, "{name}: {wrong:?}");
        assert!(wrong.what.contains(says), "{name}: {wrong:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// contract S4: no byte can change unnoticed; the line that holds it is named.
    #[test]
    fn verify_names_the_line_of_any_changed_byte(nth in 0_usize..3, at in any::<usize>(), to in 1_u8..=255) {
        let log = log();
        let file = &log.files()[nth];
        let mut bytes = fs::read(file).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= to;
        let line = bytes[..at].split(|byte| *byte == b'\n').count() as u64;
        fs::write(file, &bytes).unwrap();
        let wrong = log.report().wrong.expect("a finding");
        assert_eq!((&wrong.file, wrong.line), (file, Some(line)), "{wrong:?}");
    }
}

/// contract S4: a head noted elsewhere is found even after the log has grown; a rewritten log does not contain it.
#[test]
fn a_noted_head_is_found_again() {
    let log = log();
    let noted = Hash::parse(&log.report().head).unwrap();
    append(&mut log.open(), &[body(0, 0)]);
    assert!(verify(&log.path(), &log.head(), Some(noted)).unwrap().found);
    let rewritten = self::log();
    append(&mut rewritten.open(), &[body(1, 1)]);
    edit(&rewritten.path(), |lines| lines[0] = lines[0].replace("2026", "2027"));
    // An attacker binds all later lines anew, and writes a new head.
    let log = rebound(&rewritten);
    log.is_intact();
    assert!(!verify(&log.path(), &log.head(), Some(noted)).unwrap().found);
}

/// The log as rewritten by someone who can also write the head.
fn rebound(log: &Log) -> Log {
    let anew = Log::new(log.keep);
    let mut chain = anew.open();
    for line in log.lines() {
        let (_, members) = line.split_once(r#"","#).unwrap();
        append(&mut chain, &[format!("{{{members}")]);
    }
    anew
}

/// With the hash of its newest line, a log needs no head.
#[test]
fn a_noted_hash_stands_in_for_a_missing_head() {
    let log = log();
    let noted = Hash::parse(&log.report().head).unwrap();
    fs::remove_file(log.head()).unwrap();
    assert_eq!(verify(&log.path(), &log.head(), Some(noted)).unwrap().wrong, None);
    edit(&log.path(), |lines| drop(lines.pop()));
    assert!(verify(&log.path(), &log.head(), Some(noted)).unwrap().wrong.is_some());
}

/// A running process remembers what it has seen: removing the tail and the head together is detected.
#[test]
fn a_running_writer_remembers_what_was_cut_off() {
    for with_head in [true, false] {
        let log = Log::new(40_000);
        let mut chain = log.open();
        append(&mut chain, &[body(0, 0), body(0, 1), body(0, 2)]);
        edit(&log.path(), |lines| lines.truncate(1));
        if with_head {
            fs::remove_file(log.head()).unwrap();
        }
        append(&mut log.open(), &[body(1, 0)]);
        append(&mut chain, &[body(0, 3)]);
        let wrong = log.report().wrong.expect("a finding");
        assert_eq!((wrong.file.clone(), wrong.line), (log.path(), Some(2)), "{wrong:?}");
    }
}

/// A recreated head leaves a trace.
#[test]
fn a_lost_head_is_reported() {
    for damage in ["", "{}"] {
        let log = log();
        fs::write(log.head(), damage).unwrap();
        let before = lines(&log.path()).len() as u64;
        append(&mut log.open(), &[body(1, 0)]);
        let wrong = log.report().wrong.expect("a finding");
        assert_eq!(wrong.line, Some(before + 1), "{wrong:?}");
        assert!(wrong.what.contains("the head was"), "{wrong:?}");
    }
}

/// A damaged head is recreated even if the log ends with bytes that are not a line.
#[test]
fn a_damaged_head_is_recreated_despite_junk_at_the_end() {
    let log = log();
    append_text(&log.path(), "hello\nworld");
    fs::write(log.head(), "?").unwrap();
    append(&mut log.open(), &[body(1, 0)]);
    let all = lines(&log.path());
    assert!(
        all.iter().any(|line| line.contains(r#""foreign_bytes":10,"head":"damaged""#)),
        "{all:?}"
    );
    assert!(all.last().unwrap().contains(r#""writer":1"#));
}
