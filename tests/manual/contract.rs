//! The contract's page: it has each rule once, and its references are valid. `tests/tidy` checks the citations
//! elsewhere.

use std::collections::BTreeSet;

use callgate::engine::decide::steps::STEPS;
use callgate::engine::policy::BuiltIn;
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

/// The rules that the contract refers to exist, and it has no marks of a plan.
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

/// contract 3.5: a decision takes its steps in the contract's order.
#[test]
fn the_order_of_a_decision_is_the_one_in_the_contract() {
    let page = Page::topic("contract");
    let order = page.text().lines().find_map(|line| line.strip_prefix("refused frame → "));
    let order: Vec<&str> = order.expect("the order").split(" → ").collect();
    let steps: Vec<&str> = STEPS.iter().map(|step| step.word()).collect();
    assert_eq!(order[..steps.len()], steps);
    assert_eq!(order[steps.len()..], ["limits (reserved)", "audit", "forward."]);
}

/// contract 3.5: the built-in rules are exactly those that the contract names.
#[test]
fn the_built_in_rules_are_those_in_the_contract() {
    let page = Page::topic("contract");
    let words = Regex::new(r"`(\([a-z ]+\))`").unwrap();
    let section = page.text().split("### 3.5 ").nth(1).expect("section 3.5");
    let section = section.split("\n**P").next().unwrap_or_default();
    let named: BTreeSet<&str> =
        words.captures_iter(section).map(|found| found.get(1).unwrap().as_str()).collect();
    let built_in: BTreeSet<&str> = BuiltIn::WORDS.iter().map(|(word, _)| *word).collect();
    assert_eq!(named, built_in);
    for (word, rule) in BuiltIn::WORDS {
        assert_eq!((BuiltIn::from_word(word), rule.word()), (Some(*rule), *word));
    }
}
