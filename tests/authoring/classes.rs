//! The class of each tool of each recorded session, as data: whoever changes a word sees the effect.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use callgate::engine::propose::class::{Class, Risk};
use callgate::engine::propose::classify::{Classification, classify};
use callgate::engine::propose::listed_tool::ListedTool;
use callgate::engine::wire::transcript::TranscriptReader;
use serde::Deserialize;
use serde_json::{Value, json};

/// The recorded sessions.
pub(crate) fn sessions() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sessions");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "only {} sessions", files.len());
    files
}

/// The tools that a recording lists, as the server sent them.
pub(crate) fn tools_of(session: &Path) -> Vec<Value> {
    let text = fs::read(session).unwrap();
    let mut reader = TranscriptReader::default();
    let mut tools = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(Some(entry)) = reader.read(line) else { continue };
        let Ok(message) = serde_json::from_slice::<Value>(&entry.line) else { continue };
        let list = message.pointer("/result/tools").and_then(Value::as_array);
        tools.extend(list.into_iter().flatten().cloned());
    }
    tools
}

/// Compares classifications with a table.
fn is_as_in(table: &str, judged: &BTreeSet<String>) {
    let expected: BTreeSet<String> = table.lines().map(str::to_owned).collect();
    let missing: Vec<&String> = expected.difference(judged).collect();
    let new: Vec<&String> = judged.difference(&expected).collect();
    assert!(missing.is_empty() && new.is_empty(), "not any more: {missing:#?}\nnow: {new:#?}");
    assert!(judged.len() > 100, "only {}", judged.len());
}

#[test]
fn every_recorded_tool_is_judged_as_a_careful_person_would() {
    let mut judged = BTreeSet::new();
    for session in sessions() {
        for tool in tools_of(&session).iter().filter_map(ListedTool::read) {
            let Classification { class, risk, reason } = classify(&tool);
            judged.insert(format!("{} | {} | {} | {reason}", tool.name, class.word(), risk.word()));
        }
    }
    is_as_in(include_str!("../data/scan/recorded.txt"), &judged);
}

/// Tools of well-known servers without a recorded session.
#[test]
fn names_are_judged_by_themselves() {
    let table = include_str!("../data/scan/names.txt");
    let names = table.lines().filter_map(|line| line.split(" | ").next());
    let judged = names.map(|name| {
        let Classification { class, risk, .. } = classify(&ListedTool::named(name));
        format!("{name} | {} | {}", class.word(), risk.word())
    });
    is_as_in(table, &judged.collect());
}

fn judge(tool: &Value) -> Classification {
    classify(&ListedTool::read(tool).expect("a tool"))
}

/// A server's own hints make a verdict stricter, or decide where nothing else does.
#[test]
fn hints_never_lower_the_class_of_a_name() {
    let hints = |read_only: bool, destructive: bool| json!({ "readOnlyHint": read_only, "destructiveHint": destructive });
    for (name, annotations, class, risk, says) in [
        (
            "delete_file",
            hints(true, false),
            Class::Destructive,
            Risk::High,
            "its `readOnlyHint` is not believed",
        ),
        ("run_code", hints(true, false), Class::Execute, Risk::Critical, "not believed"),
        ("pay_bill", hints(true, false), Class::Financial, Risk::Critical, "not believed"),
        ("get_x", hints(true, true), Class::Read, Risk::Low, "its name says `get`"),
        (
            "get_x",
            hints(false, false),
            Class::Write,
            Risk::Medium,
            "the server says that it is not read-only",
        ),
        ("get_x", hints(false, true), Class::Write, Risk::High, "the server calls it destructive"),
        (
            "write_x",
            hints(false, true),
            Class::Write,
            Risk::High,
            "the server calls it destructive",
        ),
        (
            "frobnicate",
            hints(true, false),
            Class::Read,
            Risk::Medium,
            "only its own `readOnlyHint`",
        ),
        (
            "frobnicate",
            hints(false, true),
            Class::Unknown,
            Risk::High,
            "the server calls it destructive",
        ),
        ("frobnicate", json!({}), Class::Unknown, Risk::Medium, "nothing says what it does"),
        (
            "frobnicate",
            json!({ "readOnlyHint": "yes" }),
            Class::Unknown,
            Risk::Medium,
            "nothing says",
        ),
    ] {
        let verdict = judge(&json!({ "name": name, "annotations": annotations }));
        assert_eq!(
            (verdict.class, verdict.risk),
            (class, risk),
            "{name} {annotations}: {verdict:?}"
        );
        assert!(verdict.reason.contains(says), "{name} {annotations}: {}", verdict.reason);
    }
}

/// The name weighs most, then the beginning of the description, then the arguments.
#[test]
fn descriptions_and_arguments_decide_when_the_name_does_not() {
    for (name, description, arguments, class, risk) in [
        ("x", "Deletes a file.", "path", Class::Destructive, Risk::High),
        (
            "x",
            "This tool allows you to permanently delete files",
            "path",
            Class::Destructive,
            Risk::High,
        ),
        ("x", "Reads a file and deletes it.", "path", Class::Destructive, Risk::High),
        ("x", "Reads a file. Deletes nothing.", "path", Class::Read, Risk::Low),
        ("x", "Search the web and return results", "query", Class::Read, Risk::Low),
        ("x", "A tool for reflection", "thought", Class::Unknown, Risk::Medium),
        ("x", "Returns what a program prints", "command", Class::Execute, Risk::Critical),
        ("x", "", "code", Class::Execute, Risk::Critical),
        ("lint", "Checks the style of a program", "code", Class::Read, Risk::Low),
        ("query", "Run a read-only SQL query", "sql", Class::Execute, Risk::Critical),
        ("query", "Query the index", "query", Class::Read, Risk::Low),
        ("x", "", "amount currency", Class::Financial, Risk::Critical),
        ("quote", "Get a price", "amount currency", Class::Financial, Risk::Critical),
        ("get_quote", "Get a price", "amount currency", Class::Read, Risk::Low),
        ("todo_list", "Create and manage todos", "action", Class::Write, Risk::Medium),
        ("list_todos", "Create a list of todos", "", Class::Read, Risk::Medium),
        ("get_todos", "Delete all todos", "", Class::Destructive, Risk::High),
        ("get_todos", "Pay for todos", "", Class::Financial, Risk::Critical),
        ("get_todos", "Run a program that gets todos", "", Class::Read, Risk::Medium),
        ("create_todo", "Delete a todo and create it anew", "", Class::Write, Risk::High),
        ("get_page", "", "url", Class::Read, Risk::Medium),
        ("convert_page", "", "input output_path", Class::Write, Risk::Medium),
        ("convertPage", "", "input outputFormat", Class::Read, Risk::Low),
        ("create_payment", "", "amount", Class::Financial, Risk::Critical),
        ("create_invoice", "", "customer", Class::Financial, Risk::High),
        ("get_payment", "", "id", Class::Read, Risk::Low),
    ] {
        let properties = arguments.split_whitespace().map(|name| (name.to_owned(), json!({})));
        let properties: serde_json::Map<String, Value> = properties.collect();
        let schema = json!({ "type": "object", "properties": properties });
        let verdict =
            judge(&json!({ "name": name, "description": description, "inputSchema": schema }));
        let judged = (verdict.class, verdict.risk);
        assert_eq!(
            judged,
            (class, risk),
            "{name}: {description} ({arguments}): {}",
            verdict.reason
        );
    }
    let titled = judge(&json!({ "name": "x", "annotations": { "title": "Delete a thing" } }));
    assert_eq!(titled.class, Class::Destructive, "{titled:?}");
}

/// contract P4: a name is read as a careless reader would read it.
#[test]
fn a_disguised_name_is_judged_by_its_appearance() {
    for name in [
        "ｄｅｌｅｔｅ_file",
        "DELETE_FILE",
        "deleteFile",
        "file/DELETE",
        "delete.file",
        "deletefile",
    ] {
        assert_eq!(classify(&ListedTool::named(name)).class, Class::Destructive, "{name}");
    }
    for name in ["undeleted_files", "list_deleted_files", "get_deletes", "deleted"] {
        assert_ne!(classify(&ListedTool::named(name)).class, Class::Destructive, "{name}");
    }
}

/// Tools that are easily misjudged, by kind, beside their twins: their class and, where it matters, their risk.
#[test]
fn each_kind_is_judged_unlike_its_twins() {
    let table = include_str!("../data/scan/kinds.txt");
    let rows: Vec<&str> =
        table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(rows.len() >= 200, "only {} rows", rows.len());
    let wrong = rows.iter().filter_map(|row| {
        let mut parts = row.split('|').map(str::trim);
        let mut part = || parts.next().unwrap_or_default();
        let (expected, name, description, arguments, hints) =
            (part(), part(), part(), part(), part());
        let arguments = arguments.split_whitespace().map(|name| (name.to_owned(), json!({})));
        let properties: serde_json::Map<String, Value> = arguments.collect();
        let says = |hint: &str| if hints.contains(hint) { json!(true) } else { Value::Null };
        let tool = json!({
            "name": name,
            "description": description,
            "inputSchema": { "type": "object", "properties": properties },
            "annotations": { "readOnlyHint": says("readonly"), "destructiveHint": says("destructive") },
        });
        is_expected(&judge(&tool), expected).err().map(|judged| format!("{row}: {judged}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Real tools that were misjudged once, as their servers list them.
#[test]
fn tools_misjudged_once_are_judged_correctly() {
    #[derive(Deserialize)]
    struct Row {
        tool: Value,
        class: String,
    }
    let rows: Vec<Row> = serde_json::from_str(include_str!("../data/scan/wrong.json")).unwrap();
    assert_eq!(rows.len(), 18);
    let judged = rows.iter().filter_map(|row| is_expected(&judge(&row.tool), &row.class).err());
    assert_eq!(judged.collect::<Vec<String>>(), [""; 0]);
}

/// `expected` is a class, or a class and a risk. The error is the actual classification.
fn is_expected(verdict: &Classification, expected: &str) -> Result<(), String> {
    let Classification { class, risk, reason } = verdict;
    let judged = format!("{} {}", class.word(), risk.word());
    if judged == expected || class.word() == expected {
        return Ok(());
    }
    Err(format!("{judged}: {reason}"))
}
