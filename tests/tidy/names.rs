//! One name for one type.

use std::collections::BTreeMap;

use regex::Regex;

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
    // An associated type has no visibility and is indented.
    let declaration =
        Regex::new(r"(?m)^(?:[ \t]*(?:pub(?:\([a-z: ]+\))? )?(?:struct|enum|trait|union)|(?:pub(?:\([a-z: ]+\))? )?type) ([A-Z]\w*)")
            .unwrap();
    let mut types: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, file) in tree.sources_in("src/") {
        for found in declaration.captures_iter(file.without_tests()) {
            types.entry(found.get(1).unwrap().as_str()).or_default().push(path);
        }
    }
    let mut complaints = Vec::new();
    for (name, files) in &types {
        let is_held = files.iter().any(|file| ROOMS.iter().any(|room| file.starts_with(room)));
        if files.len() > 1 && is_held && !SHARED.contains(name) {
            complaints.push(format!(
                "`{name}` is the name of {} types: {}",
                files.len(),
                files.join(", ")
            ));
        }
    }
    let is_shared = |name: &str| types.get(name).is_some_and(|files| files.len() > 1);
    let stale = SHARED.into_iter().filter(|name| !is_shared(name));
    complaints
        .extend(stale.map(|name| format!("`{name}` is no longer shared: take it off the list")));
    complaints
}
