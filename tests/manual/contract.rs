//! The contract's page: each rule stands there once, and what it refers to is there. `tests/tidy` checks who cites it.

use std::collections::BTreeSet;

use regex::Regex;

use super::page::Page;

/// The numbers of rules and of sections: `P7`, `3.4`.
fn numbers() -> BTreeSet<String> {
    let page = Page::topic("contract");
    let number = Regex::new(r"(?m)^(?:\*\*([A-Z]\d+)\.\*\*|#+ (\d(?:\.\d)?)) ").unwrap();
    let mut numbers = BTreeSet::new();
    for found in number.captures_iter(page.text()) {
        let number = found.get(1).or_else(|| found.get(2)).unwrap().as_str();
        assert!(numbers.insert(number.to_owned()), "{number} stands twice in the contract");
    }
    assert!(numbers.len() >= 40, "{numbers:?}");
    numbers
}

/// The rules that the contract itself refers to are there, and no mark of a plan is.
#[test]
fn the_contract_is_whole() {
    let numbers = numbers();
    let page = Page::topic("contract");
    let reference = Regex::new(r"\b([CPSW]\d{1,2})\b").unwrap();
    for found in reference.captures_iter(page.text()) {
        assert!(numbers.contains(&found[1]), "{}", &found[1]);
    }
    assert!(!page.text().contains('◇'));
}
