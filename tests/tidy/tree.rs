//! The files of the repository, in memory, so that a test can break a rule in a copy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Folders and files that the rules check; paths are relative to the repository, with `/`.
const ROOTS: [&str; 11] = [
    "src",
    "tests",
    "benches",
    "fuzz/src",
    "fuzz/fuzz_targets",
    "README.md",
    ".github",
    ".ci",
    ".clippy.toml",
    "Cargo.toml",
    "policy.example.json",
];

/// The text files of the repository by path.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    files: BTreeMap<String, Arc<File>>,
}

/// A text file, with cached results of parsing it. Copies of a tree share it.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) text: String,
    /// A source's text without comments and string contents; line numbers are unchanged.
    pub(crate) code: String,
    /// The paths that the code names, once parsed.
    pub(crate) paths: OnceLock<Vec<Vec<String>>>,
    /// The contract's numbers that the file cites, each with its line, once parsed.
    pub(crate) citations: OnceLock<Vec<(usize, String)>>,
}

impl Tree {
    /// Reads the repository. Files that are not UTF-8 are left out.
    pub(crate) fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut tree = Tree { files: BTreeMap::new() };
        let mut open: Vec<String> = ROOTS.map(str::to_owned).to_vec();
        while let Some(name) = open.pop() {
            let path = root.join(&name);
            if path.is_dir() {
                let entries = fs::read_dir(&path).unwrap();
                open.extend(entries.map(|entry| {
                    format!("{name}/{}", entry.unwrap().file_name().to_str().unwrap())
                }));
            } else if let Ok(text) = fs::read_to_string(&path) {
                tree.put(&name, text);
            }
        }
        tree
    }

    /// Adds or replaces a file.
    pub(crate) fn put(&mut self, path: &str, text: String) {
        let code = if is_source(path) { code_of(&text) } else { String::new() };
        let (paths, citations) = (OnceLock::new(), OnceLock::new());
        self.files.insert(path.to_owned(), Arc::new(File { text, code, paths, citations }));
    }

    /// Appends to a file, which may be new.
    pub(crate) fn append(&mut self, path: &str, more: &str) {
        let text = self.files.get(path).map_or("", |file| &file.text);
        self.put(path, format!("{text}{more}"));
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", |file| &file.text)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), &**file))
    }

    /// The files that differ from those of `other`.
    pub(crate) fn changed_since(&self, other: &Tree) -> impl Iterator<Item = (&str, &File)> {
        let is_same = |path: &str, file: &Arc<File>| {
            other.files.get(path).is_some_and(|theirs| Arc::ptr_eq(file, theirs))
        };
        let changed = self.files.iter().filter(move |(path, file)| !is_same(path, file));
        changed.map(|(path, file)| (path.as_str(), &**file))
    }

    /// All Rust files.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files().filter(|(path, _)| is_source(path))
    }

    /// The Rust files in a folder.
    pub(crate) fn sources_in(&self, folder: &str) -> impl Iterator<Item = (&str, &File)> {
        self.sources().filter(move |(path, _)| path.starts_with(folder))
    }
}

impl File {
    /// A complaint for each line of code in which `wrong` finds a violation.
    pub(crate) fn complain(
        &self,
        path: &str,
        wrong: impl Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        let wrong = lines.filter_map(|(nth, line)| Some((nth, wrong(line)?)));
        wrong.map(|(nth, what)| format!("{path}:{}: {what}", nth + 1)).collect()
    }

    /// The code before the unit tests at the end of the file.
    pub(crate) fn without_tests(&self) -> &str {
        self.code.split("#[cfg(test)]").next().unwrap_or_default()
    }
}

pub(crate) fn is_source(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "rs")
}

/// A text without its comments, strings and characters; line numbers are unchanged.
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

/// The length of the comment or literal at the start of `text`, which follows the character `before`.
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
            // A quote without a second one after the next character begins a lifetime.
            _ if quote == '\'' && text.chars().nth(2) != Some('\'') => return 0,
            _ => {}
        }
    }
    text.len()
}

/// True if `line` contains `word`, and not only as a part of a longer word.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let behind = line[at + word.len()..].chars().next().is_some_and(part);
        !before && (!behind || !word.ends_with(part))
    })
}

#[test]
fn comments_and_strings_are_not_code() {
    let text = "a // b\n\"c // \\\" d\" e 'f' '\\'' &'g h r#\"i\"j\"# br\"k\" r\"l\" m";
    assert_eq!(code_of(text), "a \n e   &'g h  b  m");
    assert!(has_word("use std::fs;", "std::fs") && !has_word("use std::fs_x;", "std::fs"));
    assert!(has_word("use std::{fs, io};", "std::{") && !has_word("sprint!(x)", "print"));
}
