//! Common mistakes in policies and the help for them; one mistake hides no other.

use callgate::command::import::import_bytes;
use callgate::engine::compile::compile;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mistake {
    #[serde(rename = "in")]
    place: String,
    wrote: String,
    says: String,
}

/// A file with a gap for the mistake, and the correct text for the gap.
const PLACES: [(&str, &str, &str); 25] = [
    ("document", r#"{"version":"1","default":"deny",@}"#, r#""hide":[]"#),
    ("default", r#"{"version":"1","default":@}"#, r#""deny""#),
    ("hide", r#"{"version":"1","default":"deny","hide":@}"#, r#"["x"]"#),
    ("mode", r#"{"version":"1","default":"deny","mode":@}"#, r#""shadow""#),
    ("tools", r#"{"version":"1","default":"deny","tools":@}"#, "{}"),
    ("rule", r#"{"version":"1","default":"deny","tools":{"x":@}}"#, "{}"),
    ("action", r#"{"version":"1","default":"deny","tools":{"x":{"action":@}}}"#, r#""deny""#),
    (
        "rate_limit",
        r#"{"version":"1","default":"deny","tools":{"x":{"rate_limit":@}}}"#,
        r#"{"max":1,"window":60}"#,
    ),
    (
        "conditions",
        r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":@}]}}}"#,
        "[]",
    ),
    (
        "condition",
        r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":"args.x","op":@,"value":"a.b"}]}]}}}"#,
        r#""eq""#,
    ),
    (
        "list condition",
        r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":"args.x","op":@,"value":["a"]}]}]}}}"#,
        r#""in""#,
    ),
    (
        "true condition",
        r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":"args.x","op":@,"value":true}]}]}}}"#,
        r#""exists""#,
    ),
    (
        "import text",
        "version: \"1\"\ntools:\n  x:\n    rules:\n      - conditions:\n          - {path: args.x, op: @, value: \"a\"}\n",
        "regex",
    ),
    (
        "exists",
        r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":"args.x","op":"exists","value":@}]}]}}}"#,
        "true",
    ),
    (
        "path",
        r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":@,"op":"eq","value":1}]}]}}}"#,
        r#""args.x""#,
    ),
    (
        "window",
        r#"{"version":"1","default":"deny","tools":{"x":{"limits":[{"counter":"c","window":@,"max":1}]}}}"#,
        r#""hour""#,
    ),
    (
        "max",
        r#"{"version":"1","default":"deny","tools":{"x":{"limits":[{"counter":"c","window":"day","max":@}]}}}"#,
        "1",
    ),
    (
        "scope",
        r#"{"version":"1","default":"deny","tools":{"x":{"limits":[{"counter":"c","window":"day","max":1,"scope":@}]}}}"#,
        r#""grant""#,
    ),
    (
        "import op",
        "version: \"1\"\ntools:\n  x:\n    rules:\n      - conditions:\n          - {path: args.x, op: @, value: 5}\n",
        "lte",
    ),
    (
        "import path",
        "version: \"1\"\ntools:\n  x:\n    rules:\n      - conditions:\n          - {path: @, op: eq, value: 5}\n",
        "args.x",
    ),
    (
        "import window",
        "version: \"1\"\ntools:\n  x:\n    rules:\n      - conditions:\n          - {path: state.x.c, op: lte, value: 5}\n        state: {counter: c, window: @}\n",
        "hour",
    ),
    ("import rate", "version: \"1\"\ntools:\n  x:\n    rules:\n      - rate_limit: @\n", "5/hour"),
    ("import action", "version: \"1\"\ntools:\n  x:\n    rules:\n      - action: @\n", "deny"),
    ("import default", "version: \"1\"\ndefault: @\n", "deny"),
    ("import hide", "version: \"1\"\nhide: @\n", "[x]"),
];

/// The problems of a file: each message with its help.
fn problems(place: &str, text: &str) -> Vec<String> {
    let said = |message: &str, help: &Option<String>| {
        format!("{message}; {}", help.as_deref().unwrap_or_default())
    };
    if place.starts_with("import") {
        let found = import_bytes(text.as_bytes()).err().unwrap_or_default();
        return found.iter().map(|found| said(&found.message, &found.help)).collect();
    }
    let found = compile(text.as_bytes()).err().unwrap_or_default();
    found.iter().map(|found| said(&found.message, &found.help)).collect()
}

#[test]
fn each_common_mistake_gets_its_help() {
    let rows: Vec<Mistake> = serde_json::from_str(include_str!("../data/hints.json")).unwrap();
    assert!(rows.len() >= 90, "only {} rows", rows.len());
    let wrong = rows.iter().filter_map(|Mistake { place, wrote, says }| {
        let (_, file, _) = PLACES.iter().find(|(other, ..)| other == place).expect(place);
        let told = problems(place, &file.replace('@', wrote));
        let is_told = told.len() == 1 && told[0].contains(says);
        (!is_told).then(|| format!("{place} {wrote}: {told:#?}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn correct_files_have_no_problems() {
    for (place, file, right) in PLACES {
        assert_eq!(problems(place, &file.replace('@', right)), [""; 0], "{place}");
    }
}

/// A bad field hides no problem of its neighbours or of its own content.
#[test]
fn all_mistakes_are_reported_at_once() {
    let rows = [
        (
            "what a misspelt field holds",
            r#"{"version":"1","default":"deny","tools":{"x":{"requier":[{"conditions":[{"path":"x","op":"eq","value":1}]}]}}}"#,
            2,
        ),
        (
            "what a field with another name holds",
            r#"{"version":"1","default":"deny","rules":{"x":{"limit":[{"name":"c","window":"10m","limit":"5"}]}}}"#,
            8,
        ),
        (
            "a value beside an operator of another language",
            r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":"args.x","op":"matches","value":"("}]}]}}}"#,
            2,
        ),
        (
            "all elements of a list",
            r#"{"version":"1","default":"deny","tools":{"x":{"deny_if":[{"conditions":[{"path":"args.x","op":"in","value":[[],{},[]]}]}]}}}"#,
            3,
        ),
        (
            "the rule of a tool whose name is too long",
            &format!(
                r#"{{"version":"1","default":"deny","tools":{{"{}":{{"action":"block"}}}}}}"#,
                "x".repeat(300)
            ),
            2,
        ),
        (
            "the value of a method that cannot be named",
            r#"{"version":"1","default":"deny","methods":{"tools/call":"no"}}"#,
            2,
        ),
        (
            "import: beside a bad action",
            "version: \"1\"\ntools:\n  x:\n    rules:\n      - action: nothing\n        conditions:\n          - {path: x, op: eq, value: 1}\n",
            2,
        ),
        (
            "import: a path beside a bad operator",
            "version: \"1\"\ntools:\n  x:\n    rules:\n      - conditions:\n          - {path: x, op: \"~~~~~~\", value: 1}\n",
            2,
        ),
        (
            "import: each field that does not suit",
            "version: \"1\"\ntools:\n  x:\n    rules:\n      - action: deny\n        rate_limit: 5/fortnight\n        state: {counter: c, window: eon}\n",
            4,
        ),
        (
            "import: a counter's bound beside its operator",
            "version: \"1\"\ntools:\n  x:\n    rules:\n      - conditions:\n          - {path: state.x.c, op: gt, value: many}\n",
            2,
        ),
        (
            "import: a rule behind a bad default",
            "version: \"1\"\ndefault: maybe\ntools:\n  x:\n    rules:\n      - conditions: []\n",
            2,
        ),
    ];
    for (why, text, count) in rows {
        let place = if why.starts_with("import") { "import" } else { "policy" };
        let told = problems(place, text);
        assert_eq!(told.len(), count, "{why}: {told:#?}");
    }
}
