//! The rules of the repository that the compiler does not check. Each rule is a function from a [`Tree`] to complaints;
//! the pictures in `src/lib.rs` define the permitted imports.

mod lints;
mod names;
mod picture;
mod planted;
mod rules;
mod tree;

use rules::RULES;
use tree::Tree;

/// The entries at the top of the repository, other than dotfiles. Other project files belong in `.github` or in the
/// manual.
const TOP: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "fuzz",
    "policy.example.json",
    "src",
    "tests",
];

#[test]
fn the_top_level_is_closed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let more: Vec<String> = names
        .filter(|name| !name.starts_with('.') && name != "target" && !TOP.contains(&name.as_str()))
        .collect();
    assert!(more.is_empty(), "not at the top: {more:?}");
}

#[test]
fn the_house_keeps_its_rules() {
    let tree = Tree::load();
    assert!(tree.sources().count() > 200, "only {} sources", tree.sources().count());
    let broken: Vec<String> = RULES
        .iter()
        .map(|rule| (rule.name, rule.complaints(&tree)))
        .filter(|(_, complaints)| !complaints.is_empty())
        .map(|(name, complaints)| format!("{name}:\n  {}", complaints.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
