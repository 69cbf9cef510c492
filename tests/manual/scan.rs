//! The verdicts on the page are those of `scan`.

use callgate::engine::propose::class::{Class, Risk};
use callgate::engine::propose::classify::classify;
use callgate::engine::propose::listed_tool::ListedTool;
use callgate::engine::propose::proposal::Treatment;

use super::page::Page;
use super::root;
use crate::authoring::classes::tools_of;

/// Each tool of three servers, as listed in the table.
#[test]
fn verdicts_are_those_of_a_scan() {
    let servers = ["server-filesystem", "server-memory", "mcp-server-git"];
    let page = Page::topic("scan");
    let mut count = 0;
    for server in servers {
        let mut judged: Vec<Vec<String>> = Vec::new();
        let session = root().join(format!("tests/data/sessions/{server}.jsonl"));
        for tool in tools_of(&session).iter().filter_map(ListedTool::read) {
            let verdict = classify(&tool);
            let rule = Treatment::of(verdict.class, &tool.name).words();
            let row = [
                format!("`{}`", tool.name),
                verdict.class.word().to_owned(),
                verdict.risk.word().to_owned(),
                rule,
                verdict.reason,
            ];
            if !judged.contains(&row.to_vec()) {
                judged.push(row.to_vec());
            }
        }
        let (_, section) = page.text().split_once(&format!("\n### {server}\n")).unwrap();
        let rows = super::page::table(section, "tool | class | risk | rule | because").unwrap();
        assert_eq!(rows, judged, "{server}:\n{}", table(&judged));
        count += rows.len();
    }
    assert!(count >= 30);
}

/// The rows that the page would have to contain.
fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<String> = rows.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    rows.join("\n")
}

/// The classes, each with its rule.
#[test]
fn every_class_is_in_its_table() {
    let page = Page::topic("scan");
    let rows = page.table("class | tools that | risk | in the policy");
    let classes = [
        Class::Read,
        Class::Write,
        Class::Execute,
        Class::Unknown,
        Class::Financial,
        Class::Destructive,
    ];
    assert_eq!(rows.len(), classes.len());
    for (row, class) in rows.iter().zip(classes) {
        let rule = match Treatment::of(class, "TOOL") {
            Treatment::Permit => "`{}`".to_owned(),
            Treatment::Limit(caps) => {
                let cap = &caps[0];
                format!("a limit of {} a {}, counter `{}`", cap.max, cap.window, cap.counter)
            }
            Treatment::Ask => "`\"action\": \"require_approval\"`".to_owned(),
            Treatment::Hide => "in `hide`".to_owned(),
        };
        assert_eq!((row[0], row[3]), (class.word(), rule.as_str()));
        let risks = [Risk::Low, Risk::Medium, Risk::High, Risk::Critical];
        assert!(risks.iter().any(|risk| row[2].starts_with(risk.word())), "{}", row[2]);
    }
}
