//! The rules, one function each. A complaint names the file, the line if there is one, and the violation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::names::shared_names;
use super::picture;
use super::tree::{File, Tree, has_word, is_source};

/// A rule of the repository.
pub(crate) struct Rule {
    /// The rule, as a sentence.
    pub(crate) name: &'static str,
    /// The function that finds violations.
    check: Check,
}

/// The input of a rule's function, which returns complaints.
enum Check {
    /// One file of Rust at a time.
    Source(fn(&str, &File) -> Vec<String>),
    /// One file of any kind at a time.
    Text(fn(&str, &File) -> Vec<String>),
    /// All files together.
    Whole(fn(&Tree) -> Vec<String>),
}

impl Rule {
    /// All complaints about a tree.
    pub(crate) fn complaints(&self, tree: &Tree) -> Vec<String> {
        self.complaints_of(tree, tree.files())
    }

    /// The complaints about a tree in which all files except these are known to keep the rule.
    pub(crate) fn complaints_of<'t>(
        &self,
        tree: &'t Tree,
        files: impl Iterator<Item = (&'t str, &'t File)>,
    ) -> Vec<String> {
        match self.check {
            Check::Source(check) => {
                let sources = files.filter(|(path, _)| is_source(path));
                sources.flat_map(|(path, file)| check(path, file)).collect()
            }
            Check::Text(check) => files.flat_map(|(path, file)| check(path, file)).collect(),
            Check::Whole(check) => check(tree),
        }
    }
}

/// All rules.
pub(crate) const RULES: [Rule; 18] = [
    Rule { name: "imports are those drawn in lib.rs", check: Check::Whole(undrawn_imports) },
    Rule { name: "no file imports itself by way of others", check: Check::Whole(circles) },
    Rule { name: "the engine knows nothing of the world", check: Check::Source(world_in_engine) },
    Rule { name: "cli knows what is typed, and nothing else", check: Check::Whole(world_in_cli) },
    Rule { name: "the platform is known in shell/os alone", check: Check::Source(platform) },
    Rule { name: "unsafe code stands in shell/os", check: Check::Source(unsafe_code) },
    Rule { name: "names are imported one by one", check: Check::Source(star_imports) },
    Rule { name: "tests run, and do not wait for time to pass", check: Check::Source(lazy_tests) },
    Rule { name: "tests start the binary through the harness", check: Check::Source(bare_binary) },
    Rule { name: "every allow has its deny twin", check: Check::Whole(missing_twins) },
    Rule { name: "nothing is left to be done", check: Check::Source(leftovers) },
    Rule { name: "files are short", check: Check::Source(long_file) },
    Rule { name: "folders hold few files", check: Check::Whole(full_folders) },
    Rule {
        name: "doc comments explain, and do not outgrow the code",
        check: Check::Whole(doc_share),
    },
    Rule { name: "what is cited is in the contract", check: Check::Whole(dead_citations) },
    Rule { name: "comments cite what a reader can open", check: Check::Text(closed_sources) },
    Rule { name: "one name stands for one type", check: Check::Whole(shared_names) },
    Rule { name: "wall clocks are read in five files", check: Check::Source(clocks) },
];

/// The longest a source file may be, in lines.
const MAX_LINES: usize = 600;
/// The most source files in one folder, without its subfolders.
const MAX_FILES: usize = 12;
/// These folders have one file for each verb, however many verbs there are.
const ONE_A_VERB: [&str; 2] = ["src/cli", "src/command"];
/// The permitted share of doc comments in the lines of `src`, in per cent.
const DOC_SHARE: std::ops::RangeInclusive<usize> = 10..=18;

/// What the engine must not use.
const WORLD: [&str; 22] = [
    "tokio",
    "notify",
    "clap",
    "anyhow",
    "rustix",
    "libc",
    "rusqlite",
    "redis",
    "std::fs",
    "std::io",
    "std::process",
    "std::env",
    "std::thread",
    "std::net",
    "std::os",
    "Instant",
    "SystemTime",
    "println",
    "eprintln",
    "print",
    "dbg",
    "std::{",
];

/// The room for platform-specific code.
const OS: &str = "src/shell/os/";
/// Names that only this room may use: system calls, and APIs that differ between platforms.
const PLATFORM: [&str; 12] = [
    "rustix",
    "libc",
    "nix",
    "windows_sys",
    "std::os",
    "tokio::signal",
    "signal_hook",
    "cfg(target_os",
    "cfg!(target_os",
    "cfg(unix",
    "cfg(windows",
    "cfg!(windows",
];
/// Other places with unsafe code: the allocator that counts for tests.
const UNSAFE: [&str; 1] = ["tests/fuzzing/cost/counting.rs"];

/// The files that read a wall clock: the shared clock, and those that need a file's age or date a lost head.
const CLOCKS: [&str; 5] = [
    "src/shell/os/clock.rs",
    "src/shell/file.rs",
    "src/shell/audit/chain.rs",
    "src/shell/audit/head.rs",
    "src/command/log/mod.rs",
];

/// The marks of unfinished work, spelt so that this line does not match.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

fn undrawn_imports(tree: &Tree) -> Vec<String> {
    let drawn = picture::drawn(tree);
    let mut complaints = Vec::new();
    for folder in ["src/", "src/engine/", "src/shell/", "src/command/"] {
        let Some(drawn) = drawn.get(folder) else {
            complaints.push(format!("lib.rs draws no picture of {folder}"));
            continue;
        };
        let mut real = picture::real(tree, folder);
        // `lib.rs` itself imports what its example needs.
        real.remove("lib");
        for (room, imports) in &real {
            let Some(allowed) = drawn.get(room) else {
                complaints.push(format!("{folder}{room} is not in the picture"));
                continue;
            };
            let more = imports.difference(allowed);
            complaints.extend(more.map(|other| format!("{folder}{room} may not import {other}")));
            let idle = allowed.difference(imports);
            complaints.extend(idle.map(|other| {
                format!("{folder}{room} does not import {other}, but the picture says so")
            }));
        }
        let gone = drawn.keys().filter(|room| !real.contains_key(*room));
        complaints.extend(gone.map(|room| format!("{folder}{room} is drawn and does not exist")));
    }
    complaints
}

fn circles(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let rooms = ["src/", "src/engine/", "src/shell/", "src/command/"];
    let graphs = rooms.map(|folder| picture::real(tree, folder)).into_iter();
    for graph in graphs.chain([picture::siblings(tree)]) {
        complaints.extend(picture::circle(&graph).map(|way| way.join(" ► ")));
    }
    complaints
}

fn world_in_engine(path: &str, file: &File) -> Vec<String> {
    if !path.starts_with("src/engine/") {
        return Vec::new();
    }
    file.complain(path, |line| {
        WORLD.iter().find(|word| has_word(line, word)).map(ToString::to_string)
    })
}

fn unsafe_code(path: &str, file: &File) -> Vec<String> {
    if path.starts_with(OS) || UNSAFE.contains(&path) {
        return Vec::new();
    }
    file.complain(path, |line| {
        let is_unsafe = has_word(line, "unsafe") || line.contains("allow(unsafe_code");
        is_unsafe.then(|| line.trim().to_owned())
    })
}

/// Unit tests at the end of a file may use the platform.
fn platform(path: &str, file: &File) -> Vec<String> {
    if !path.starts_with("src/") || path.starts_with(OS) {
        return Vec::new();
    }
    let code = file.without_tests();
    let words = code.lines().enumerate().filter_map(|(nth, line)| {
        let word = PLATFORM.iter().find(|word| has_word(line, word))?;
        Some(format!("{path}:{}: {word}", nth + 1))
    });
    // Paths stand in strings, which `code` leaves out.
    let lines = file.text.lines().take(code.lines().count()).enumerate();
    let paths = lines.filter(|(_, line)| line.contains("\"/proc"));
    words.chain(paths.map(|(nth, _)| format!("{path}:{}: /proc", nth + 1))).collect()
}

/// What `cli` may import: the standard library, clap, the time crate, the engine's words, and the manual's topics.
const KNOWN_TO_CLI: [&str; 9] = [
    "std::",
    "clap::",
    "clap_complete::",
    "jiff::",
    "super::",
    "self::",
    "crate::cli::",
    "crate::engine::text::",
    "crate::manual",
];

fn world_in_cli(tree: &Tree) -> Vec<String> {
    let is_own = |import: &str| {
        // `mod.rs` names its own files.
        let first = import.split("::").next().unwrap_or_default();
        tree.sources_in("src/cli/").any(|(path, _)| *path == *format!("src/cli/{first}.rs"))
    };
    let complaint = |line: &str| {
        let import = line.trim_start().trim_start_matches("pub ").strip_prefix("use ");
        let import = match import {
            Some(import) => {
                let is_known = KNOWN_TO_CLI.iter().any(|known| import.starts_with(known));
                (!is_known && !is_own(import)).then_some(import)
            }
            None => line.contains("crate::shell").then_some(line.trim()),
        };
        import.map(str::to_owned)
    };
    tree.sources_in("src/cli/").flat_map(|(path, file)| file.complain(path, complaint)).collect()
}

fn star_imports(path: &str, file: &File) -> Vec<String> {
    file.complain(path, |line| line.contains("::*").then(|| line.trim().to_owned()))
}

fn lazy_tests(path: &str, file: &File) -> Vec<String> {
    let words = ["sleep(", "#[ignore", "#[should_panic", "sleep_until("];
    let lazy =
        |line: &str| words.iter().find(|word| line.contains(**word)).map(ToString::to_string);
    if path.starts_with("tests/") {
        return file.complain(path, lazy);
    }
    let tests = file.code.split_once("#[cfg(test)]").filter(|_| path.starts_with("src/"));
    let word = tests.and_then(|(_, tests)| lazy(tests));
    word.map(|word| format!("{path}: {word}")).into_iter().collect()
}

/// The harness gives the binary its own environment and state directory. A test that starts the binary directly would
/// write into those of the user who runs the tests.
fn bare_binary(path: &str, file: &File) -> Vec<String> {
    if !path.starts_with("tests/") || path.starts_with("tests/harness/") {
        return Vec::new();
    }
    let name = concat!("CARGO_BIN_", "EXE");
    let lines = file.text.lines().enumerate().filter(|(_, line)| line.contains(name));
    lines.map(|(nth, _)| format!("{path}:{}: {name}", nth + 1)).collect()
}

/// The part of a case that the rule about twins reads.
#[derive(Deserialize)]
struct Case {
    why: String,
    twin: Option<String>,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    expect: String,
}

impl Case {
    fn allows(&self) -> bool {
        self.calls.iter().all(|call| call.expect == "allow")
    }
}

/// A case that allows all its calls must name, as `twin`, a case with a call that is not allowed.
fn missing_twins(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut cases: Vec<(&str, Case)> = Vec::new();
    for (path, file) in tree.files().filter(|(path, _)| path.starts_with("tests/data/cases/")) {
        match serde_json::from_str::<Vec<Case>>(&file.text) {
            Ok(list) => cases.extend(list.into_iter().map(|case| (path, case))),
            Err(error) => complaints.push(format!("{path}: {error}")),
        }
    }
    let denying = cases.iter().filter(|(_, case)| !case.allows());
    let denying: BTreeSet<&str> = denying.map(|(_, case)| case.why.as_str()).collect();
    for (path, case) in &cases {
        let Case { why, twin, .. } = case;
        match (case.allows(), twin) {
            (true, Some(twin)) if denying.contains(twin.as_str()) => {}
            (true, Some(twin)) => complaints.push(format!("{path}: `{why}`: no `{twin}` denies")),
            (true, None) => complaints.push(format!("{path}: `{why}` allows all and has no twin")),
            (false, Some(_)) => complaints.push(format!("{path}: `{why}` denies, with a twin")),
            (false, None) => {}
        }
    }
    complaints
}

fn leftovers(path: &str, file: &File) -> Vec<String> {
    let lines = file.text.lines().enumerate();
    let marked = lines.filter_map(|(nth, line)| {
        let mark = MARKS.iter().find(|mark| has_word(line, mark))?;
        Some(format!("{path}:{}: {mark}", nth + 1))
    });
    marked.collect()
}

fn long_file(path: &str, file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    (lines > MAX_LINES).then(|| format!("{path}: {lines} lines")).into_iter().collect()
}

fn full_folders(tree: &Tree) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (path, _) in tree.sources() {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        *counts.entry(folder).or_default() += 1;
    }
    let full = counts
        .into_iter()
        .filter(|(folder, files)| *files > MAX_FILES && !ONE_A_VERB.contains(folder));
    full.map(|(folder, files)| format!("{folder}: {files} files")).collect()
}

fn doc_share(tree: &Tree) -> Vec<String> {
    let is_doc = |line: &&str| line.trim_start().starts_with("///") || line.starts_with("//!");
    let (mut docs, mut lines) = (0, 0);
    for (_, file) in tree.sources_in("src/") {
        docs += file.text.lines().filter(is_doc).count();
        lines += file.text.lines().count();
    }
    let share = 100 * docs / lines;
    let outside = !DOC_SHARE.contains(&share);
    outside
        .then(|| format!("{share} % of src are doc comments, not {DOC_SHARE:?}"))
        .into_iter()
        .collect()
}

/// The numbers of the contract's rules and sections: `P7`, `3.4`.
fn contract(tree: &Tree) -> BTreeSet<String> {
    static NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^(?:\*\*([A-Z]\d+)\.\*\*|#+ (\d(?:\.\d)?)) ").unwrap());
    let found = NUMBER.captures_iter(tree.text("src/manual/contract.md"));
    found.map(|found| found.get(1).or_else(|| found.get(2)).unwrap().as_str().to_owned()).collect()
}

/// The numbers after `contract` in a line, with ranges expanded: `contract W3, C4`, `contract P9–P13`.
pub(crate) fn cited(line: &str) -> BTreeSet<String> {
    static CITATION: LazyLock<Regex> = LazyLock::new(|| {
        let citation = r"contract ([A-Z]?\d+(?:\.\d)?(?:(?:, | and |–)[A-Z]?\d+(?:\.\d)?)*)";
        Regex::new(citation).unwrap()
    });
    static NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(–)?([A-Z]?)(\d+(?:\.\d)?)").unwrap());
    let mut cited = BTreeSet::new();
    for found in CITATION.captures_iter(line) {
        let mut before = 0_u32;
        for one in NUMBER.captures_iter(&found[1]) {
            let (letter, digits) = (&one[2], &one[3]);
            let last = digits.parse().unwrap_or_default();
            if one.get(1).is_some() {
                cited.extend((before..last).map(|number| format!("{letter}{number}")));
            }
            cited.insert(format!("{letter}{digits}"));
            before = last;
        }
    }
    cited
}

/// The citations of a file, with their lines.
fn citations(file: &File) -> &[(usize, String)] {
    file.citations.get_or_init(|| {
        let lines = (1..).zip(file.text.lines()).filter(|(_, line)| line.contains("contract "));
        lines
            .flat_map(|(nth, line)| cited(line).into_iter().map(move |number| (nth, number)))
            .collect()
    })
}

fn dead_citations(tree: &Tree) -> Vec<String> {
    let contract = contract(tree);
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, file) in tree.files().filter(|(path, _)| !path.starts_with("tests/tidy/")) {
        for (line, number) in citations(file) {
            if !contract.contains(number) {
                complaints.push(format!("{path}:{line}: contract {number}"));
            }
            seen.insert(number);
        }
    }
    let rules = contract.iter().filter(|number| number.starts_with(char::is_alphabetic));
    let uncited = rules.filter(|rule| !seen.contains(*rule));
    complaints.extend(uncited.map(|rule| format!("no code and no test cites contract {rule}")));
    complaints
}

/// Comments must cite the manual's copy of the contract, the only one that readers can open.
fn closed_sources(path: &str, file: &File) -> Vec<String> {
    if path.starts_with("tests/data/") {
        return Vec::new();
    }
    let words = [concat!("SP", "EC"), concat!("ST", "YLE"), concat!("shared", "/")];
    let lines = file.text.lines().enumerate();
    let closed = lines.filter_map(|(nth, line)| {
        let word = words.iter().find(|word| has_word(line, word))?;
        Some(format!("{path}:{}: {word}", nth + 1))
    });
    closed.collect()
}

/// Few files read clocks, so that all of callgate uses the same time.
fn clocks(path: &str, file: &File) -> Vec<String> {
    if !path.starts_with("src/") || CLOCKS.contains(&path) {
        return Vec::new();
    }
    file.complain(path, |line| {
        let clock = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
        clock.iter().find(|clock| line.contains(**clock)).map(ToString::to_string)
    })
}

#[test]
fn ranges_and_lists_are_citations() {
    let all: Vec<String> =
        cited("contract W3, C4; contract P9–P11 (contract 3.5)").into_iter().collect();
    assert_eq!(all, ["3.5", "C4", "P10", "P11", "P9", "W3"]);
}
