//! Invalid policies: every problem is found, at its place (contract P1).

use callgate::engine::compile::compile;
use callgate::engine::compile::fields::Position;
use serde::Deserialize;

use super::case::read_all;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BadPolicy {
    why: String,
    text: String,
    problems: Vec<Expected>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    at: String,
    path: String,
    says: Vec<String>,
}

#[test]
fn every_problem_is_found_at_its_place() {
    let policies = read_all::<BadPolicy>("bad_policies");
    assert!(policies.len() >= 50, "only {} policies found", policies.len());
    let failures: Vec<String> = policies
        .iter()
        .filter_map(|(name, bad)| {
            check(bad).err().map(|error| format!("{name} {}: {error}", bad.why))
        })
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn check(bad: &BadPolicy) -> Result<(), String> {
    let Err(found) = compile(bad.text.as_bytes()) else {
        return Err("it compiled".to_owned());
    };
    let shown: Vec<String> = found
        .iter()
        .map(|problem| {
            let help = problem.help.as_deref().unwrap_or_default();
            let place = Position::of(problem.at, bad.text.as_bytes());
            format!("{place} {} {}; {help}", problem.pointer, problem.message)
        })
        .collect();
    let fits = |(shown, expected): (&String, &Expected)| {
        shown.starts_with(&format!("{} {} ", expected.at, expected.path))
            && expected.says.iter().all(|words| shown.contains(words))
    };
    if shown.len() == bad.problems.len() && shown.iter().zip(&bad.problems).all(fits) {
        return Ok(());
    }
    let wanted: Vec<String> = bad
        .problems
        .iter()
        .map(|expected| format!("{} {} {:?}", expected.at, expected.path, expected.says))
        .collect();
    Err(format!(
        "\n  wanted: {}\n  found:  {}",
        wanted.join("\n          "),
        shown.join("\n          ")
    ))
}
