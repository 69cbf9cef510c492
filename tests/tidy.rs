//! The rules of the house that no compiler knows: what a file may not know of, and how long it may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Inside the engine: who may import whom. It must be the truth, and free of circles.
const ENGINE: [(&str, &[&str]); 53] = [
    ("answer", &["frame", "visible"]),
    ("batch", &["answer", "frame", "in_flight", "value"]),
    ("canonical", &["value"]),
    ("class", &[]),
    ("classify", &["class", "tool_list", "words"]),
    (
        "compile",
        &[
            "condition",
            "decide",
            "example",
            "hints",
            "json",
            "limits",
            "name",
            "one_of",
            "path",
            "pattern",
            "policy",
            "shape",
            "source",
            "value",
        ],
    ),
    ("condition", &["one_of", "path", "pattern", "scalar", "undecidable", "value", "work"]),
    ("contradiction", &["condition", "decimal", "value", "work"]),
    (
        "decide",
        &[
            "condition",
            "decimal",
            "denial",
            "limits",
            "mcp",
            "path",
            "policy",
            "undecidable",
            "value",
            "work",
        ],
    ),
    ("decimal", &[]),
    ("denial", &["policy", "visible"]),
    ("example", &["decide", "explain", "limits", "mcp", "path", "policy", "work"]),
    ("excerpt", &["path", "value", "work"]),
    ("explain", &["condition", "decide", "limits", "mcp", "path", "policy", "work"]),
    ("extend", &["json", "proposal", "value"]),
    ("frame", &["json", "outline", "value", "visible"]),
    ("hints", &["path"]),
    ("id_finder", &["frame", "outline"]),
    ("in_flight", &["frame"]),
    ("inquiry", &["answer", "frame", "id_finder", "json", "mcp", "tool_list"]),
    ("json", &["keys", "scan", "value"]),
    ("keys", &["value"]),
    ("limits", &[]),
    ("line", &["id_finder"]),
    (
        "lint",
        &[
            "condition",
            "contradiction",
            "decide",
            "json",
            "limits",
            "name",
            "path",
            "policy",
            "source",
            "value",
            "work",
        ],
    ),
    ("listing", &["decimal", "frame", "value"]),
    ("matrix", &["decide", "name", "policy", "words", "work"]),
    ("mcp", &["frame", "json", "name", "path", "value"]),
    ("mod", &[]),
    ("name", &["work"]),
    ("observed", &["class", "classify", "limits", "proposal"]),
    ("one_of", &["decimal", "scalar", "undecidable", "value", "work"]),
    ("outline", &["json", "scan", "value"]),
    ("path", &["json", "undecidable", "value", "work"]),
    ("pattern", &["work"]),
    ("policy", &["condition", "limits", "name", "path", "work"]),
    ("proposal", &["class", "classify", "name", "policy", "visible"]),
    ("record", &["line"]),
    ("recording", &["frame", "json", "line"]),
    ("retry", &["canonical", "in_flight", "mcp", "value"]),
    ("scalar", &["decimal", "undecidable", "value", "work"]),
    ("scan", &[]),
    (
        "session",
        &[
            "answer",
            "decide",
            "excerpt",
            "frame",
            "in_flight",
            "json",
            "limits",
            "line",
            "listing",
            "mcp",
            "policy",
            "record",
            "retry",
            "step",
            "value",
            "visible",
            "work",
        ],
    ),
    ("shape", &["hints"]),
    ("source", &["hints", "name", "shape", "value"]),
    ("step", &["answer", "batch", "decide", "frame", "in_flight", "limits", "record"]),
    ("tool_list", &[]),
    ("undecidable", &["value"]),
    ("unrelayed", &["answer", "batch", "frame", "id_finder", "limits", "line", "record"]),
    ("value", &["decimal", "name", "scan"]),
    ("visible", &[]),
    ("words", &["class", "name"]),
    ("work", &[]),
];

/// What of the engine the shell may know: no rules, operators or windows.
const SHELL_KNOWS: [&str; 9] =
    ["batch", "inquiry", "limits", "line", "policy", "record", "recording", "session", "visible"];

/// What is outside the engine's world.
const WORLD: [&str; 20] = [
    "tokio",
    "notify",
    "clap",
    "anyhow",
    "rustix",
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
    "print",
    "eprintln",
    "eprint",
    "dbg",
    "std::{",
];

/// The longest a source file may be, in lines.
const MAX_LINES: usize = 700;

/// A file of Rust.
struct Source {
    path: PathBuf,
    text: String,
    /// The text without comments and the contents of strings.
    code: String,
}

/// All files of Rust in these folders; fails if there are fewer than `least`.
fn sources(folders: &[&str], least: usize) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let path = path.strip_prefix(root).expect("a file of ours").to_owned();
                sources.push(Source { code: code_of(&text), path, text });
            }
        }
    }
    assert!(sources.len() >= least, "{folders:?} have only {} files", sources.len());
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

impl Source {
    /// The name of the module that the file is.
    fn module(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).expect("a name")
    }

    /// The code before the tests at the end of the file.
    fn without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]").next().unwrap_or_default()
    }

    /// Where a rule is broken: the file, the line, and what stands there.
    fn complain(&self, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        let at = |(nth, line)| {
            wrong(line).map(|what| format!("{}:{}: {what}", self.path.display(), nth + 1))
        };
        lines.filter_map(at).collect()
    }
}

/// A text without its comments, strings and characters; lines stay where they are.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = skipped_len(rest, code.chars().next_back());
        if skipped > 0 {
            let (gone, behind) = rest.split_at(skipped);
            code.extend(gone.chars().filter(|c| *c == '\n'));
            rest = behind;
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// The length of the comment or literal that `text` begins with, behind the character `before`.
fn skipped_len(text: &str, before: Option<char>) -> usize {
    let up_to = |end: &str, from: usize| {
        text[from..].find(end).map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if let Some(rest) = text.strip_prefix('r').filter(|_| !in_word || before == Some('b')) {
        let hashes = rest.bytes().take_while(|b| *b == b'#').count();
        if rest[hashes..].starts_with('"') {
            return up_to(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
        }
    }
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'');
    let Some(quote) = quote else { return 0 };
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            // A quote and no second one behind the next character: a lifetime.
            _ if quote == '\'' && text.chars().nth(2) != Some('\'') => return 0,
            _ => {}
        }
    }
    text.len()
}

/// True if `word` stands in `line`, and not as a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let behind = line[at + word.len()..].chars().next().is_some_and(part);
        !before && (!behind || !word.ends_with(part))
    })
}

/// The words behind each `prefix` in `code`.
fn words_behind<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let starts = code.match_indices(prefix).map(|(at, _)| &code[at + prefix.len()..]);
    starts.map(|rest| rest.split(|c| !part(c)).next().unwrap_or_default()).collect()
}

fn report(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

/// STYLE: bytes and the time in, values out.
#[test]
fn the_engine_knows_nothing_of_the_world() {
    let known =
        |line: &str| WORLD.iter().find(|word| has_word(line, word)).map(ToString::to_string);
    let engine = sources(&["src/engine"], 20);
    let complaints: Vec<String> = engine.iter().flat_map(|source| source.complain(known)).collect();
    report("the engine knows no files, processes, clocks, runtimes or terminals", &complaints);
}

/// STYLE: main ► cli ► command ► shell ► engine.
#[test]
fn no_layer_knows_those_above_it() {
    let above: [(&str, &[&str]); 3] = [
        ("src/engine", &["cli", "command", "shell"]),
        ("src/shell", &["cli", "command"]),
        ("src/command", &["main"]),
    ];
    let mut complaints = Vec::new();
    for (folder, forbidden) in above {
        for source in sources(&[folder], 3) {
            complaints.extend(source.complain(|line| {
                let layers = words_behind(line, "crate::");
                let found = layers.into_iter().find(|layer| forbidden.contains(layer));
                found.map(|layer| format!("knows `crate::{layer}`"))
            }));
        }
    }
    report("no layer knows those above it", &complaints);
}

/// STYLE: the shell knows no operators, rules or windows.
#[test]
fn the_shell_knows_no_rules() {
    let mut complaints = Vec::new();
    for source in sources(&["src/shell"], 3) {
        complaints.extend(source.complain(|line| {
            let modules = words_behind(line, "engine::");
            let found = modules.into_iter().find(|module| !SHELL_KNOWS.contains(module));
            found.map(|module| format!("knows `engine::{module}`"))
        }));
    }
    report("the shell knows no rules", &complaints);
}

/// STYLE: the picture of the engine is the truth.
#[test]
fn the_engine_is_layered_as_drawn() {
    let drawn = BTreeMap::from(ENGINE);
    let mut complaints = Vec::new();
    for source in sources(&["src/engine"], 20) {
        let module = source.module();
        let code = source.without_tests();
        let Some(allowed) = drawn.get(module) else {
            complaints.push(format!("`{module}` is not in the picture"));
            continue;
        };
        let behind = ["super::", "engine::"].map(|prefix| words_behind(code, prefix)).concat();
        let used: Vec<&str> = behind.into_iter().filter(|word| drawn.contains_key(word)).collect();
        if code.contains("super::{") || code.contains("super::super") {
            complaints.push(format!("`{module}` imports several modules in one line"));
        }
        for other in used.iter().filter(|other| **other != module && !allowed.contains(other)) {
            complaints.push(format!("`{module}` may not import `{other}`"));
        }
        for other in allowed.iter().filter(|other| !used.contains(other)) {
            complaints
                .push(format!("`{module}` does not import `{other}`, but the picture says so"));
        }
    }
    complaints.sort();
    complaints.dedup();
    report("the engine is layered as drawn", &complaints);
}

/// STYLE: the picture has no circle, and nobody in the engine imports `compile`.
#[test]
fn the_picture_of_the_engine_has_no_circle() {
    let mut left = BTreeMap::from(ENGINE);
    loop {
        let free = left.iter().find(|(_, imports)| !imports.iter().any(|i| left.contains_key(i)));
        let Some(free) = free.map(|(module, _)| *module) else { break };
        left.remove(free);
    }
    assert!(left.is_empty(), "these import each other in a circle: {:?}", left.keys());
    let importers = ENGINE.iter().filter(|(_, imports)| imports.contains(&"compile"));
    assert_eq!(importers.count(), 0, "somebody imports `compile`");
}

/// STYLE: an exception to `unsafe_code` is one function with a reason.
#[test]
fn nothing_is_unsafe_but_one_function_with_a_reason() {
    let mut unsafe_lines = Vec::new();
    let mut exceptions = 0;
    for source in sources(&["src", "tests", "fuzz/src", "fuzz/fuzz_targets"], 40) {
        let found =
            source.complain(|line| has_word(line, "unsafe").then(|| line.trim().to_owned()));
        exceptions += source.code.matches("expect(unsafe_code").count();
        assert!(!source.code.contains("allow(unsafe_code"), "{}", source.path.display());
        unsafe_lines.extend(found);
    }
    assert!(exceptions <= 1, "{exceptions} exceptions to `unsafe_code`");
    if exceptions == 0 {
        report("nothing is unsafe", &unsafe_lines);
    }
}

/// STYLE: no glob imports.
#[test]
fn nothing_is_imported_by_a_star() {
    let star = |line: &str| line.contains("::*").then(|| line.trim().to_owned());
    let all = sources(&["src", "tests", "fuzz/src", "fuzz/fuzz_targets"], 40);
    let complaints: Vec<String> = all.iter().flat_map(|source| source.complain(star)).collect();
    report("names are imported one by one", &complaints);
}

/// STYLE: tests neither wait, nor fail to run, nor hope for a panic.
#[test]
fn tests_run_and_do_not_wait() {
    let lazy = |line: &str| {
        let words = ["sleep(", "#[ignore", "#[should_panic", "sleep_until("];
        words.iter().find(|word| line.contains(**word)).map(ToString::to_string)
    };
    let tests = sources(&["tests"], 20);
    let mut complaints: Vec<String> = tests.iter().flat_map(|test| test.complain(lazy)).collect();
    for source in sources(&["src"], 30) {
        let Some((_, tests)) = source.code.split_once("#[cfg(test)]") else { continue };
        complaints.extend(lazy(tests).map(|word| format!("{}: {word}", source.path.display())));
    }
    report("tests run and do not wait", &complaints);
}

/// STYLE: what is to be done is done, or stands in an issue.
#[test]
fn nothing_is_left_to_be_done() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let mut complaints = Vec::new();
    for source in sources(&["src", "tests", "fuzz/src", "fuzz/fuzz_targets"], 40) {
        for (nth, line) in source.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| has_word(line, mark)) {
                complaints.push(format!("{}:{}: {mark}", source.path.display(), nth + 1));
            }
        }
    }
    report("nothing is left to be done", &complaints);
}

/// STYLE: files of one idea, and 10 to 25 % of their lines say what they promise.
#[test]
fn files_are_short_and_explained() {
    let all = sources(&["src"], 30);
    let too_long = all.iter().filter(|source| source.text.lines().count() >= MAX_LINES);
    let too_long: Vec<String> = too_long
        .map(|s| format!("{}: {} lines", s.path.display(), s.text.lines().count()))
        .collect();
    report("a source file has fewer than 700 lines", &too_long);
    let lines = || all.iter().flat_map(|source| source.text.lines());
    let is_doc = |line: &&str| line.trim_start().starts_with("///") || line.starts_with("//!");
    let percent = 100 * lines().filter(is_doc).count() / lines().count();
    assert!((10..=25).contains(&percent), "{percent} % of src are doc comments, not 10 to 25");
}

/// The checks above see code, and code only.
#[test]
fn comments_and_strings_are_no_code() {
    let text = "a // b\n\"c // \\\" d\" e 'f' '\\'' &'g h r#\"i\"j\"# br\"k\" r\"l\" m";
    assert_eq!(code_of(text), "a \n e   &'g h  b  m");
    assert!(has_word("use std::fs;", "std::fs") && !has_word("use std::fs_x;", "std::fs"));
    assert!(has_word("use std::{fs, io};", "std::{") && !has_word("sprint!(x)", "print"));
    assert_eq!(words_behind("use crate::a::b; crate::c_d", "super::"), ["a", "c_d"]);
}
