//! The rules of the house that the compiler does not know. Each rule is a function from a [`Tree`] to complaints; the
//! pictures that it holds the code to are those drawn in `src/lib.rs`.

mod names;
mod picture;
mod planted;
mod rules;
mod tree;

use rules::RULES;
use tree::Tree;

#[test]
fn the_house_keeps_its_rules() {
    let tree = Tree::load();
    assert!(tree.sources().count() > 200, "only {} sources", tree.sources().count());
    let broken: Vec<String> = RULES
        .iter()
        .map(|rule| (rule.name, (rule.complaints)(&tree)))
        .filter(|(_, complaints)| !complaints.is_empty())
        .map(|(name, complaints)| format!("{name}:\n  {}", complaints.join("\n  ")))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
