//! The numbers that code, tests and pages cite are rules of the contract, each of which stands there once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::page::Page;
use super::root;

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

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_text = path.extension().is_some_and(|end| end == "rs" || end == "console");
        if path.is_dir() {
            files(&path, found);
        } else if is_text {
            found.push(path);
        }
    }
}

/// Each number behind `SPEC` in a text, ranges included: `SPEC W3, C4`, `SPEC P9–P13`.
fn cited(text: &str) -> BTreeSet<String> {
    let citation = r"SPEC (?:section )?([A-Z]?\d+(?:\.\d)?(?:(?:, | and |–)[A-Z]?\d+(?:\.\d)?)*)";
    let citation = Regex::new(citation).unwrap();
    let number = Regex::new(r"(–)?([A-Z]?)(\d+(?:\.\d)?)").unwrap();
    let mut cited = BTreeSet::new();
    for found in citation.captures_iter(text) {
        let mut before = 0_u32;
        for one in number.captures_iter(&found[1]) {
            let (letter, digits) = (&one[2], &one[3]);
            let last = digits.parse().unwrap_or_default();
            if one.get(1).is_some() {
                cited.extend((before..last).map(|number| format!("{letter}{number}")));
            }
            cited.insert(format!("{letter}{digits}"));
            before = last;
        }
    }
    cited
}

#[test]
fn ranges_and_lists_are_citations() {
    let all: Vec<String> = cited("SPEC W3, C4; SPEC P9–P11 (SPEC 3.5)").into_iter().collect();
    assert_eq!(all, ["3.5", "C4", "P10", "P11", "P9", "W3"]);
}

/// The code and its tests cite rules that the contract has.
#[test]
fn every_cited_rule_is_in_the_contract() {
    let numbers = numbers();
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"] {
        files(&root().join(folder), &mut sources);
    }
    let mut seen = BTreeSet::new();
    for source in &sources {
        let text = fs::read_to_string(source).unwrap();
        for number in cited(&text) {
            assert!(numbers.contains(&number), "{}: SPEC {number}", source.display());
            seen.insert(number);
        }
    }
    assert!(seen.len() >= 40, "only {seen:?}");
    let why = Regex::new(r#""why": "([A-Z]\d+)[:, ]"#).unwrap();
    // Cases begin with the number of the rule that they show.
    for folder in ["tests/data/cases", "tests/data/bad_policies"] {
        for file in fs::read_dir(root().join(folder)).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            seen.extend(why.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    let rules = numbers.iter().filter(|number| number.starts_with(char::is_alphabetic));
    let uncited: Vec<&String> = rules.filter(|rule| !seen.contains(*rule)).collect();
    assert!(uncited.is_empty(), "no code and no test cites {uncited:?}");
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
