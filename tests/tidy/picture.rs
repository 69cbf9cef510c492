//! The pictures in `src/lib.rs`, and the actual imports of the code.
//!
//! A line `room ► a, b   words` in a text block of `lib.rs` says that `room` may import `a` and `b`. The last line
//! before it that ends in `/` names the folder of the rooms: `src/`, `src/engine/`.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{File, Tree};

/// The permitted imports: by folder, then by room.
pub(crate) type Picture = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Reads the pictures.
pub(crate) fn drawn(tree: &Tree) -> Picture {
    let mut picture = Picture::new();
    let mut folder = None;
    let mut inside = false;
    for line in tree.text("src/lib.rs").lines() {
        let Some(line) = line.strip_prefix("//!") else { break };
        let line = line.trim();
        if line.starts_with("```") {
            inside = line == "```text";
            folder = None;
            continue;
        }
        if !inside {
            continue;
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        if first.starts_with("src/") && first.ends_with('/') {
            folder = Some(first.to_owned());
        } else if let (Some(folder), Some((rooms, imports))) = (&folder, line.split_once('►')) {
            let imports = imports.strip_prefix(' ').unwrap_or(imports);
            // Two spaces end the list; text for readers follows.
            let imports = imports.split("  ").next().unwrap_or_default();
            let names = |text: &str| -> BTreeSet<String> {
                let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            };
            for room in names(rooms) {
                picture.entry(folder.clone()).or_default().insert(room, names(imports));
            }
        }
    }
    picture
}

/// The actual imports between the rooms of a folder. A path that names the folder itself is not an import of a room.
pub(crate) fn real(tree: &Tree, folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let base: Vec<&str> = module(folder.trim_end_matches('/'));
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, _) in tree.sources_in(folder) {
        if let Some(room) = module(path).get(base.len()) {
            rooms.entry((*room).to_owned()).or_default();
        }
    }
    let names: BTreeSet<String> = rooms.keys().cloned().collect();
    for (path, file) in tree.sources_in(folder) {
        let here = module(path);
        let Some(room) = here.get(base.len()) else { continue };
        for target in paths_of(path, file) {
            let is_below = target.iter().zip(&base).filter(|(a, b)| a == b).count() == base.len();
            let other = target.get(base.len()).filter(|_| is_below);
            if let Some(other) = other.filter(|other| other != room && names.contains(*other)) {
                rooms.entry((*room).to_owned()).or_default().insert(other.clone());
            }
        }
    }
    rooms
}

/// The imports between files of one folder, as module paths. `mod.rs` is left out, because it stands for the folder.
pub(crate) fn siblings(tree: &Tree) -> BTreeMap<String, BTreeSet<String>> {
    let all: BTreeSet<String> = tree
        .sources_in("src/")
        .filter(|(path, _)| !path.ends_with("/mod.rs"))
        .map(|(path, _)| module(path).join("::"))
        .collect();
    let mut graph = BTreeMap::new();
    for (path, file) in tree.sources_in("src/") {
        let here = module(path);
        if path.ends_with("/mod.rs") {
            continue;
        }
        let found = paths_of(path, file).iter().filter_map(|target| {
            let longest = (1..=target.len()).rev().map(|n| target[..n].join("::"));
            longest.into_iter().find(|name| all.contains(name))
        });
        let own = here.join("::");
        graph.insert(own.clone(), found.filter(|name| *name != own).collect());
    }
    graph
}

/// The nodes of a circle in a graph, if there is one.
pub(crate) fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut left = graph.clone();
    loop {
        let free =
            left.iter().find(|(_, imports)| !imports.iter().any(|other| left.contains_key(other)));
        let Some(free) = free.map(|(node, _)| node.clone()) else { break };
        left.remove(&free);
    }
    let mut at = left.keys().next()?.clone();
    let mut way = Vec::new();
    while !way.contains(&at) {
        way.push(at.clone());
        at = left[&at].iter().find(|other| left.contains_key(*other))?.clone();
    }
    let from = way.iter().position(|node| *node == at)?;
    Some(way.split_off(from))
}

/// The module of a file: `src/engine/json/mod.rs` is `engine`, `json`.
fn module(path: &str) -> Vec<&str> {
    let path = path.strip_prefix("src").unwrap_or(path).trim_start_matches('/');
    let path = path.trim_end_matches(".rs");
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

/// The absolute paths that a file names before its tests.
fn paths_of<'f>(path: &str, file: &'f File) -> &'f [Vec<String>] {
    file.paths.get_or_init(|| {
        let found = paths(file.without_tests(), &module(path));
        found.into_iter().map(|path| path.into_iter().map(str::to_owned).collect()).collect()
    })
}

/// The paths in `code` that begin with `crate`, `super` or `self`, made absolute. Braces are expanded one level deep.
fn paths<'c>(code: &'c str, here: &[&'c str]) -> Vec<Vec<&'c str>> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for head in ["crate::", "callgate::", "super::", "self::"] {
        for (at, _) in code.match_indices(head) {
            let before = code[..at].chars().next_back();
            // `pub(in crate::engine)` is a visibility, not an import.
            if before.is_some_and(|c| part(c) || c == ':') || code[..at].ends_with("(in ") {
                continue;
            }
            let text = &code[at..];
            let end = text.find(|c: char| !part(c) && c != ':').unwrap_or(text.len());
            let (path, rest) = text.split_at(end);
            let mut parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
            let absolute = match parts.first() {
                Some(&"crate" | &"callgate") => parts.split_off(1),
                Some(&"self") => [here, &parts[1..]].concat(),
                _ => {
                    let ups = parts.iter().take_while(|part| **part == "super").count();
                    [&here[..here.len().saturating_sub(ups)], &parts[ups..]].concat()
                }
            };
            if let Some(list) = rest.strip_prefix('{').filter(|_| path.ends_with("::")) {
                let list = list.split('}').next().unwrap_or_default();
                for name in list.split(',').map(str::trim) {
                    let name = name.split(|c: char| !part(c)).next().unwrap_or_default();
                    found.push([absolute.as_slice(), &[name]].concat());
                }
            } else {
                found.push(absolute);
            }
        }
    }
    found
}

#[test]
fn paths_are_made_absolute() {
    let code = "use crate::a::{b, c::D};\nuse super::e;\nself::f::g(); super::super::h::i; pub(in crate::x) fn y()";
    let mut found = paths(code, &["m", "n"]);
    found.sort();
    assert_eq!(
        found,
        [vec!["a", "b"], vec!["a", "c"], vec!["h", "i"], vec!["m", "e"], vec!["m", "n", "f", "g"]]
    );
}
