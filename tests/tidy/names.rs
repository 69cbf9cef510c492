//! Each type name stands for one type in the whole of `src`.

use std::collections::BTreeMap;

use super::tree::Tree;

/// Complaints about names that several types of `src` share.
pub(crate) fn shared_names(tree: &Tree) -> Vec<String> {
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, file) in tree.sources_in("src/") {
        for name in file.without_tests().lines().filter_map(declared) {
            types.entry(name).or_default().push(path);
        }
    }
    let shared = types.iter().filter(|(_, files)| files.len() > 1);
    shared
        .map(|(name, files)| format!("`{name}` names several types: {}", files.join(", ")))
        .collect()
}

/// The name of the type that a line declares. An associated type does not count: it is indented and has no visibility.
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
