//! One name for one type.

use std::collections::BTreeMap;

use super::tree::Tree;

/// The rooms whose types share their names with no other type of `src`.
const ROOMS: [&str; 16] = [
    "src/engine/compile/",
    "src/engine/decide/",
    "src/engine/intercept/",
    "src/engine/limits/",
    "src/engine/policy/",
    "src/engine/propose/",
    "src/engine/session/",
    "src/engine/text/",
    "src/shell/exit.rs",
    "src/shell/file.rs",
    "src/shell/relay/",
    "src/shell/signals.rs",
    "src/shell/stderr.rs",
    "src/shell/upstream.rs",
    "src/shell/wakeup.rs",
    "src/shell/watch.rs",
];

/// The types of [`ROOMS`] that have the name of another type.
pub(crate) fn shared_names(tree: &Tree) -> Vec<String> {
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, file) in tree.sources_in("src/") {
        for name in file.without_tests().lines().filter_map(declared) {
            types.entry(name).or_default().push(path);
        }
    }
    let mut complaints = Vec::new();
    for (name, files) in types.iter().filter(|(_, files)| files.len() > 1) {
        if files.iter().any(|file| ROOMS.iter().any(|room| file.starts_with(room))) {
            complaints.push(format!("`{name}` names several types: {}", files.join(", ")));
        }
    }
    complaints
}

/// The type that a line declares. An associated type, which is indented and has no visibility, is none.
fn declared(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let (visibility, code) = match code.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => (true, rest.split_once(") ")?.1),
        Some(rest) => (true, rest.trim_start()),
        None => (false, code),
    };
    let (keyword, rest) = code.split_once(' ')?;
    let is_type = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => visibility || !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    rest.get(..end).filter(|name| is_type && name.starts_with(char::is_uppercase))
}

#[test]
fn declarations_are_found() {
    let rows = [
        ("pub(in crate::engine) struct Few<T> {", Some("Few")),
        ("    enum Open<'t> {", Some("Open")),
        ("pub trait Ledger {", Some("Ledger")),
        ("type Met<'r> = (&'r Clause, bool);", Some("Met")),
        ("    type Item = u8;", None),
        ("    let kind = rule.type ;", None),
        ("impl Rule {", None),
    ];
    for (line, name) in rows {
        assert_eq!(declared(line), name, "{line}");
    }
}
