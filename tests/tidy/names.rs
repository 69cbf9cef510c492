//! One name for one type.

use std::collections::BTreeMap;

use regex::Regex;

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
        if files.len() > 1 && is_held {
            complaints.push(format!(
                "`{name}` is the name of {} types: {}",
                files.len(),
                files.join(", ")
            ));
        }
    }
    complaints
}
