//! The tables of the manual name exactly the existing options, fields and operators.

use std::collections::BTreeSet;

use callgate::cli::Cli;
use callgate::command::schema::POLICY_SCHEMA;
use callgate::engine::compile::compile;
use callgate::engine::compile::lint::WarningKind;
use callgate::shell::audit::entry::LogEntry;
use callgate::shell::audit::event::EventKind;
use clap::{Arg, CommandFactory as _};
use regex::Regex;
use serde_json::Value;

use super::page::{Page, quoted};

/// The options of each verb, with their values, variables and defaults. Those of `log verify` and `status reset` are on
/// the page of the parent verb, which says which of its other options they accept.
#[test]
fn every_option_of_every_verb_is_in_its_table() {
    let mut cli = Cli::command();
    cli.build();
    let mut count = 0;
    for verb in cli.get_subcommands() {
        let page = Page::topic(verb.get_name());
        let rows = page.table("option | default | meaning");
        let said: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        let options: Vec<&Arg> =
            verb.get_arguments().filter(|option| option.get_long().is_some()).collect();
        let told: BTreeSet<String> = options.iter().map(|option| name_of(option)).collect();
        assert_eq!(
            said.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
            told,
            "{}",
            page.path
        );
        for option in options {
            let name = name_of(option);
            let row = rows.iter().find(|row| row[0] == name).unwrap();
            let variable = option.get_env().map(|variable| variable.to_string_lossy());
            let named = variable.is_none_or(|name| row[2].contains(&format!("`{name}`")));
            assert!(
                named && (option.get_env().is_some() || !row[2].contains("`CALLGATE_")),
                "{row:?}"
            );
            let default =
                option.get_default_values().first().filter(|_| !option.is_hide_default_value_set());
            let default = default
                .filter(|_| takes_value(option))
                .map(|value| format!("`{}`", value.display()));
            // An entry without backticks, such as `off` or `required`, is a description and not a default value.
            let shown = (row[1].starts_with('`') && row[1].matches('`').count() == 2)
                .then(|| row[1].to_owned());
            assert_eq!(shown, default, "{name} of {}", page.path);
            count += 1;
        }
        for below in verb.get_subcommands() {
            let own = below.get_arguments().filter(|option| option.get_long().is_some());
            for option in own {
                assert!(
                    page.text().contains(&format!("`--{}", option.get_long().unwrap())),
                    "{}",
                    page.path
                );
            }
        }
    }
    assert!(count >= 60, "only {count} options");
}

/// An option as tables write it: `` `-o`, `--output FILE` ``.
fn name_of(option: &Arg) -> String {
    let short = option.get_short().map_or(String::new(), |short| format!("`-{short}`, "));
    let value = if takes_value(option) { format!(" {}", value_of(option)) } else { String::new() };
    format!("{short}`--{}{value}`", option.get_long().unwrap())
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

fn value_of(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default();
    let many = option.get_num_args().is_some_and(|count| count.max_values() > 1);
    format!("{}{}", names[0], if many { "..." } else { "" })
}

/// The warnings of `check`, as transcripts show them.
#[test]
fn every_warning_is_in_the_table() {
    let code = Regex::new(r"warning\[(\w+)\]").unwrap();
    let said = super::transcripts();
    let shown: BTreeSet<&str> =
        code.captures_iter(&said).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(shown.len() >= 12, "{shown:?}");
    assert_eq!(names(&Page::topic("check"), "warning | reported for"), shown);
    let kinds: BTreeSet<&str> = WarningKind::WORDS.iter().map(|(word, _)| *word).collect();
    assert_eq!(shown, kinds);
}

/// The names in backticks in the first cells of a table.
fn names<'p>(page: &'p Page, titles: &str) -> BTreeSet<&'p str> {
    page.table(titles).iter().flat_map(|row| quoted(row[0])).collect()
}

/// The events of the audit log with their fields, as the code names them when it writes them.
#[test]
fn every_event_of_the_log_is_in_the_table() {
    let page = Page::topic("audit-log");
    let rows = page.table("event | its own fields");
    let mut count = 0;
    for (word, kind) in EventKind::WORDS {
        let shadow = match kind {
            EventKind::Call => r#"{"outcome":"denied"}"#,
            _ => "true",
        };
        // The fields that an event leaves out if they are empty.
        let line = format!(
            r#"{{"event":"{word}","id":1,"message":"m","cause":"c","shadow":{shadow},"more_keys":1,"arguments":{{}},"lines":1,"torn_bytes":1,"foreign_bytes":1,"missing_bytes":1,"head":"missing"}}"#
        );
        let event = LogEntry::of(line.as_bytes()).and_then(|entry| entry.event).expect("an event");
        let row = rows.iter().find(|row| row[0] == format!("`{word}`"));
        let said = quoted(row.unwrap_or_else(|| panic!("`{word}` is not in the table"))[1]);
        let members = format!("{{{}}}", event.members());
        let members: serde_json::Map<String, Value> = serde_json::from_str(&members).unwrap();
        for field in members.keys().filter(|field| *field != "event") {
            assert!(said.contains(&field.as_str()), "`{field}` of `{word}` is not in the table");
            count += 1;
        }
    }
    assert_eq!((rows.len(), count), (EventKind::WORDS.len(), 43));
}

/// The names that the compiler suggests for an unknown one.
fn offered(policy: &str) -> BTreeSet<String> {
    let problems = compile(policy.as_bytes()).expect_err("a problem");
    let texts = problems.iter().map(|problem| match &problem.help {
        Some(help) if help.starts_with("known here") => help.clone(),
        _ => problem.message.split(", found ").next().unwrap_or_default().to_owned(),
    });
    let texts: Vec<String> = texts.filter(|text| text.matches('`').count() > 4).collect();
    assert_eq!(texts.len(), 1, "{problems:#?}");
    quoted(&texts[0]).into_iter().map(str::to_owned).collect()
}

/// The names at a place of the schema: fields, or words to choose from.
fn names_in_schema<'s>(schema: &'s Value, pointer: &str) -> BTreeSet<&'s str> {
    match schema.pointer(pointer) {
        Some(Value::Object(fields)) => fields.keys().map(String::as_str).collect(),
        Some(Value::Array(words)) => {
            words.iter().map(|word| word["const"].as_str().unwrap()).collect()
        }
        other => panic!("{pointer}: {other:?}"),
    }
}

/// contract P1: the compiler accepts exactly these fields and operators.
#[test]
fn every_field_and_operator_is_in_its_table() {
    let schema: Value = serde_json::from_str(POLICY_SCHEMA).unwrap();
    let document = |rest: &str| format!(r#"{{"version":"1","default":"deny",{rest}}}"#);
    let rule = |rest: &str| document(&format!(r#""tools":{{"t":{{{rest}}}}}"#));
    let limit = r#""counter":"c","max":1"#;
    for (topic, titles, policy, in_schema) in [
        ("document", "field | meaning", document(r#""0":0"#), "/properties"),
        ("rules", "field | meaning", rule(r#""0":0"#), "/$defs/rule/properties"),
        (
            "limits",
            "field | default | meaning",
            rule(&format!(r#""limits":[{{{limit},"window":1,"0":0}}]"#)),
            "/$defs/limit/properties",
        ),
        (
            "tests",
            "field | default | meaning",
            document(r#""tests":[{"name":"n","tool":"t","expect":"allow","0":0}]"#),
            "/$defs/test/properties",
        ),
        (
            "operators",
            "operator | value | holds if what is found",
            rule(r#""require":[{"conditions":[{"path":"args","op":"0","value":0}]}]"#),
            "/$defs/condition/properties/op/oneOf",
        ),
    ] {
        let offered = offered(&policy);
        let offered: BTreeSet<&str> = offered.iter().map(String::as_str).collect();
        let page = Page::topic(topic);
        assert_eq!(names(&page, titles), offered, "{topic}");
        assert_eq!(names_in_schema(&schema, in_schema), offered, "{in_schema} of the schema");
    }
    let windows = offered(&rule(&format!(r#""limits":[{{{limit},"window":"0"}}]"#)));
    let page = Page::topic("limits");
    let rows = page.table("field | default | meaning");
    let row = rows.iter().find(|row| row[0] == "`window`").unwrap();
    for window in windows {
        assert!(row[2].contains(&format!(r#"`"{window}"`"#)), "{window}");
    }
}
