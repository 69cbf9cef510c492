//! Imported Intercept policies decide as Intercept does; whatever cannot be translated is reported at its place.

use std::fs;
use std::path::{Path, PathBuf};

use callgate::command::import::import_bytes;
use callgate::command::show::diagnostics::SourceFile;
use callgate::engine::compile::review::Findings;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::case::{Call, Case};
use super::cases;

/// Calls that the policy beside this file must decide as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    why: String,
    calls: Vec<Call>,
}

fn policies() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import");
    let files = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("entry").path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn every_policy_decides_as_in_intercept() {
    let policies = policies();
    assert!(policies.len() >= 10, "only {} policies found", policies.len());
    let failures: Vec<String> = policies
        .iter()
        .filter_map(|file| run(file).err().map(|error| format!("{}: {error}", file.display())))
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

fn run(file: &Path) -> Result<(), String> {
    let policy = fs::read(file).expect("a policy");
    let calls = fs::read_to_string(file.with_extension("json")).expect("its calls");
    let Calls { why, calls } = serde_json::from_str(&calls).map_err(|error| error.to_string())?;
    let imported = import_bytes(&policy).map_err(|problems| format!("{problems:?}"))?.policy;
    let findings = Findings::of(imported.as_bytes());
    if let Some(found) = findings.diagnostics.iter().find(|found| !is_to_be_expected(found.code)) {
        return Err(format!("{found:?}"));
    }
    let policy = RawValue::from_string(imported).map_err(|error| error.to_string())?;
    cases::run(&Case { why, _twin: IgnoredAny, policy, shadow: false, calls })
}

/// Differences that the test policies contain on purpose.
fn is_to_be_expected(code: Option<&str>) -> bool {
    matches!(code, Some("unanchored_regex" | "conflicting_actions" | "hidden_and_ruled"))
}

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
    /// The marked text.
    token: String,
    says: Vec<String>,
}

#[test]
fn untranslatable_parts_are_reported_at_their_place() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import/bad.json");
    let table = fs::read_to_string(table).expect("the table");
    let bad: Vec<BadPolicy> = serde_json::from_str(&table).expect("rows");
    assert!(bad.len() >= 60, "only {} rows", bad.len());
    let failures: Vec<String> = bad
        .iter()
        .filter_map(|bad| check(bad).err().map(|error| format!("{}: {error}", bad.why)))
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}

/// No file makes the import hang or use unbounded memory.
#[test]
fn hostile_files_are_refused() {
    let laughs = (b'b'..=b'z').fold(String::from("a: &a [x, x]\n"), |text, name| {
        let (name, before) = (char::from(name), char::from(name - 1));
        text + &format!("{name}: &{name} [*{before}, *{before}]\n")
    });
    let deep_map = (0..2000).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    let fields = (0..90_000).fold(String::new(), |text, nth| text + &format!("k{nth}: v\n"));
    let rows = [
        ("[".repeat(20_000), "recursion limit"),
        ("{a: ".repeat(20_000), "recursion limit"),
        ("- ".repeat(20_000), "nested deeper"),
        ("? ".repeat(20_000), "nested deeper"),
        (deep_map, "nested deeper"),
        (laughs, "more than 200000 values"),
        ("- a\n".repeat(1_000_000), "more than 200000 values"),
        (format!("[{}]", "a, ".repeat(1_000_000)), "more than 200000 values"),
        ("---\n".repeat(100_000), "second document"),
        ("&a ".repeat(100_000), "no YAML"),
        ("!".repeat(1_000_000), "no YAML"),
        ("\0".repeat(1_000_000), ""),
        (" ".repeat(1_000_000), "empty"),
        ("-".repeat(1_000_000), "expected a map"),
        ("a ".repeat(1_000_000), "expected a map"),
        (fields, "unknown field"),
        ("k: v\n".repeat(90_000), "duplicate key"),
    ];
    for (text, says) in rows {
        let name: String = text.chars().take(8).collect();
        let Err(problems) = import_bytes(text.as_bytes()) else { panic!("{name}: imported") };
        assert!((1..=100).contains(&problems.len()), "{name}: {} problems", problems.len());
        assert!(problems[0].message.contains(says), "{name}: {:?}", problems[0]);
    }
    let Err(problems) = import_bytes(b"version: \"1\"\ndefault: \xff\n") else {
        panic!("imported")
    };
    assert_eq!((problems[0].at, problems[0].message.as_str()), (22, "not UTF-8"));
}

fn check(bad: &BadPolicy) -> Result<(), String> {
    let Err(found) = import_bytes(bad.text.as_bytes()) else {
        return Err("it was imported".to_owned());
    };
    let source = SourceFile::new(Path::new("policy.yaml"), bad.text.as_bytes());
    let shown: Vec<(String, String, String)> = found
        .iter()
        .map(|problem| {
            let json = serde_json::to_value(source.json(problem)).expect("JSON");
            let number =
                |key: &str| json[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap();
            let (line, column, end) = (number("line"), number("column"), number("end_column"));
            let text = bad.text.lines().nth(line - 1).unwrap_or_default();
            let token = text.chars().skip(column - 1).take(end - column).collect();
            let help = problem.help.as_deref().unwrap_or_default();
            let place = format!("{line}:{column} {}", problem.pointer);
            (place, token, format!("{}; {help}", problem.message))
        })
        .collect();
    let fits = |((place, token, words), expected): (&(String, String, String), &Expected)| {
        *place == format!("{} {}", expected.at, expected.path)
            && *token == expected.token
            && expected.says.iter().all(|says| words.contains(says))
    };
    if shown.len() == bad.problems.len() && shown.iter().zip(&bad.problems).all(fits) {
        return Ok(());
    }
    Err(format!("found:\n  {shown:#?}"))
}
