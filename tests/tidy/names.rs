//! One name for one type.

use std::collections::BTreeMap;

use super::tree::Tree;

/// The rooms whose types share their names with no other type of `src`.
const ROOMS: [&str; 7] = [
    "src/engine/compile/",
    "src/engine/decide/",
    "src/engine/intercept/",
    "src/engine/limits/",
    "src/engine/policy/",
    "src/engine/propose/",
    "src/engine/text/",
];

/// Names that two types still share.
const SHARED: [&str; 2] = ["Judge", "Ruling"];

/// The types of [`ROOMS`] that have the name of another type, and names in [`SHARED`] that are no longer shared.
pub(crate) fn shared_names(tree: &Tree) -> Vec<String> {
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, file) in tree.sources_in("src/") {
        for name in file.without_tests().lines().filter_map(declared) {
            types.entry(name).or_default().push(path);
        }
    }
    let mut complaints = Vec::new();
    for (name, files) in
        types.iter().filter(|(name, files)| files.len() > 1 && !SHARED.contains(name))
    {
        if files.iter().any(|file| ROOMS.iter().any(|room| file.starts_with(room))) {
            complaints.push(format!("`{name}` names several types: {}", files.join(", ")));
        }
    }
    let is_shared = |name: &str| types.get(name).is_some_and(|files| files.len() > 1);
    let stale = SHARED.into_iter().filter(|name| !is_shared(name));
    complaints
        .extend(stale.map(|name| format!("`{name}` is no longer shared: take it off the list")));
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
