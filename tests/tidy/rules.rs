//! The rules, one function each. A complaint names the file, the line if there is one, and what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::names::shared_names;
use super::picture;
use super::tree::{Tree, has_word};

/// A rule of the house.
pub(crate) struct Rule {
    /// What holds, as a sentence.
    pub(crate) name: &'static str,
    /// Where it does not.
    pub(crate) complaints: fn(&Tree) -> Vec<String>,
}

/// All rules.
pub(crate) const RULES: [Rule; 14] = [
    Rule { name: "imports are those drawn in lib.rs", complaints: undrawn_imports },
    Rule { name: "no file imports itself by way of others", complaints: circles },
    Rule { name: "the engine knows nothing of the world", complaints: world_in_engine },
    Rule { name: "unsafe code stands in two files", complaints: unsafe_code },
    Rule { name: "names are imported one by one", complaints: star_imports },
    Rule { name: "tests run, and do not wait for time to pass", complaints: lazy_tests },
    Rule { name: "nothing is left to be done", complaints: leftovers },
    Rule { name: "files are short", complaints: long_files },
    Rule { name: "folders hold few files", complaints: full_folders },
    Rule { name: "doc comments explain, and do not outgrow the code", complaints: doc_share },
    Rule { name: "what is cited is in the contract", complaints: dead_citations },
    Rule { name: "comments cite what a reader can open", complaints: closed_sources },
    Rule { name: "one name stands for one type", complaints: shared_names },
    Rule { name: "wall clocks are read in five files", complaints: clocks },
];

/// The longest a source file may be, in lines.
const MAX_LINES: usize = 700;
/// The most source files of one folder, beside its subfolders.
const MAX_FILES: usize = 17;
/// These folders have one file a verb, however many verbs there are.
const ONE_A_VERB: [&str; 2] = ["src/cli", "src/command"];
/// How many of the lines of `src` are doc comments, in per cent.
const DOC_SHARE: std::ops::RangeInclusive<usize> = 10..=18;

/// What is outside the engine's world.
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

/// Where unsafe code stands: what runs between fork and exec, and the allocator that counts for tests.
const UNSAFE: [&str; 2] = ["src/shell/upstream.rs", "tests/fuzzing/counting.rs"];

/// The files that read a wall clock: the one for all, and those that date a file's age or a head that was lost.
const CLOCKS: [&str; 5] = [
    "src/shell/os/clock.rs",
    "src/shell/file.rs",
    "src/shell/audit/chain.rs",
    "src/shell/audit/head.rs",
    "src/command/log/mod.rs",
];

/// The marks of unfinished work, spelt so that this line is none.
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
        // The map itself imports what its example shows.
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

fn world_in_engine(tree: &Tree) -> Vec<String> {
    tree.complain("src/engine/", |_, line| {
        WORLD.iter().find(|word| has_word(line, word)).map(ToString::to_string)
    })
}

fn unsafe_code(tree: &Tree) -> Vec<String> {
    tree.complain("", |path, line| {
        let is_unsafe = has_word(line, "unsafe") || line.contains("allow(unsafe_code");
        (is_unsafe && !UNSAFE.contains(&path)).then(|| line.trim().to_owned())
    })
}

fn star_imports(tree: &Tree) -> Vec<String> {
    tree.complain("", |_, line| line.contains("::*").then(|| line.trim().to_owned()))
}

fn lazy_tests(tree: &Tree) -> Vec<String> {
    let words = ["sleep(", "#[ignore", "#[should_panic", "sleep_until("];
    let lazy =
        |line: &str| words.iter().find(|word| line.contains(**word)).map(ToString::to_string);
    let mut complaints = tree.complain("tests/", |_, line| lazy(line));
    for (path, file) in tree.sources_in("src/") {
        let tests = file.code.split_once("#[cfg(test)]").map_or("", |(_, tests)| tests);
        complaints.extend(lazy(tests).map(|word| format!("{path}: {word}")));
    }
    complaints
}

fn leftovers(tree: &Tree) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, file) in tree.sources() {
        for (nth, line) in file.text.lines().enumerate() {
            let mark = MARKS.iter().find(|mark| has_word(line, mark));
            complaints.extend(mark.map(|mark| format!("{path}:{}: {mark}", nth + 1)));
        }
    }
    complaints
}

fn long_files(tree: &Tree) -> Vec<String> {
    let lengths = tree.sources().map(|(path, file)| (path, file.text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > MAX_LINES);
    long.map(|(path, lines)| format!("{path}: {lines} lines")).collect()
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
    let lines = || tree.sources_in("src/").flat_map(|(_, file)| file.text.lines());
    let is_doc = |line: &&str| line.trim_start().starts_with("///") || line.starts_with("//!");
    let share = 100 * lines().filter(is_doc).count() / lines().count();
    let outside = !DOC_SHARE.contains(&share);
    outside
        .then(|| format!("{share} % of src are doc comments, not {DOC_SHARE:?}"))
        .into_iter()
        .collect()
}

/// The numbers of the contract's rules and sections: `P7`, `3.4`.
fn contract(tree: &Tree) -> BTreeSet<String> {
    let number = Regex::new(r"(?m)^(?:\*\*([A-Z]\d+)\.\*\*|#+ (\d(?:\.\d)?)) ").unwrap();
    let found = number.captures_iter(tree.text("src/manual/contract.md"));
    found.map(|found| found.get(1).or_else(|| found.get(2)).unwrap().as_str().to_owned()).collect()
}

/// Each number behind `contract` in a line, ranges included: `contract W3, C4`, `contract P9–P13`.
pub(crate) fn cited(line: &str) -> BTreeSet<String> {
    let citation = r"contract ([A-Z]?\d+(?:\.\d)?(?:(?:, | and |–)[A-Z]?\d+(?:\.\d)?)*)";
    let citation = Regex::new(citation).unwrap();
    let number = Regex::new(r"(–)?([A-Z]?)(\d+(?:\.\d)?)").unwrap();
    let mut cited = BTreeSet::new();
    for found in citation.captures_iter(line) {
        let mut before = 0_u32;
        for one in number.captures_iter(&found[1]) {
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

fn dead_citations(tree: &Tree) -> Vec<String> {
    let contract = contract(tree);
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, file) in tree.files().filter(|(path, _)| !path.starts_with("tests/tidy/")) {
        for (nth, line) in
            file.text.lines().enumerate().filter(|(_, line)| line.contains("contract "))
        {
            for number in cited(line) {
                if !contract.contains(&number) {
                    complaints.push(format!("{path}:{}: contract {number}", nth + 1));
                }
                seen.insert(number);
            }
        }
    }
    let rules = contract.iter().filter(|number| number.starts_with(char::is_alphabetic));
    let uncited = rules.filter(|rule| !seen.contains(*rule));
    complaints.extend(uncited.map(|rule| format!("no code and no test cites contract {rule}")));
    complaints
}

/// The house's copy of the contract is the only one that a reader can open.
fn closed_sources(tree: &Tree) -> Vec<String> {
    let words = [concat!("SP", "EC"), concat!("ST", "YLE"), concat!("shared", "/")];
    let mut complaints = Vec::new();
    for (path, file) in tree.files().filter(|(path, _)| !path.starts_with("tests/data/")) {
        for (nth, line) in file.text.lines().enumerate() {
            let word = words.iter().find(|word| has_word(line, word));
            complaints.extend(word.map(|word| format!("{path}:{}: {word}", nth + 1)));
        }
    }
    complaints
}

/// Clocks are read in one file, so that all of callgate has one idea of the time.
fn clocks(tree: &Tree) -> Vec<String> {
    tree.complain("src/", |path, line| {
        let clock = ["SystemTime::now", "Timestamp::now", "Zoned::now"];
        let read = clock.iter().find(|clock| line.contains(**clock))?;
        (!CLOCKS.contains(&path)).then(|| (*read).to_owned())
    })
}

#[test]
fn ranges_and_lists_are_citations() {
    let all: Vec<String> =
        cited("contract W3, C4; contract P9–P11 (contract 3.5)").into_iter().collect();
    assert_eq!(all, ["3.5", "C4", "P10", "P11", "P9", "W3"]);
}
