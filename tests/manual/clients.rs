//! The configurations shown for MCP clients: callgate accepts their command lines.

use std::collections::BTreeSet;
use std::path::Path;

use callgate::cli::{Cli, Command, WrapArgs};
use clap::Parser as _;
use regex::Regex;
use serde_json::Value;

use super::page::{Page, quoted};

const TITLES: &str = "client | key | expands | stderr of callgate and the server";

fn wrap(words: &[&str]) -> WrapArgs {
    let Command::Wrap(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("another verb than `wrap`")
    };
    args
}

/// A command line without shell syntax or relative paths. callgate must read it the same way if the client swallows the
/// `--`.
fn is_sound(words: &[&str]) {
    let args = wrap(words);
    let server = args.command[0].to_str().unwrap();
    for path in [words[0], args.policy.to_str().unwrap(), server] {
        assert!(Path::new(path).is_absolute(), "{path}");
    }
    assert!(!words.concat().contains(['$', '~']), "{words:?}");
    let swallowed: Vec<&str> = words.iter().copied().filter(|word| *word != "--").collect();
    assert_eq!(swallowed.len() + 1, words.len(), "{words:?}");
    let swallowed = wrap(&swallowed);
    assert_eq!((swallowed.policy, swallowed.command), (args.policy, args.command));
}

/// The table's entry for what a client substitutes, as a pattern.
fn variables(cell: &str) -> Option<Regex> {
    let variables = quoted(cell).into_iter().map(|variable| {
        let pattern = regex::escape(variable);
        pattern.replace("NAME", "[A-Z_]+").replace("ID", r"\w+").replace("default", "[^}]*")
    });
    let variables: Vec<String> = variables.collect();
    (!variables.is_empty()).then(|| Regex::new(&variables.join("|")).unwrap())
}

/// Each client in the table has a configuration of the form given there, with no variables other than its own.
#[test]
fn configurations_are_command_lines() {
    let (page, readme) = (Page::topic("clients"), Page::readme());
    let rows = page.table(TITLES);
    let blocks = page.blocks("json config");
    let clients: BTreeSet<&str> = blocks.iter().map(|block| block.name).collect();
    assert_eq!(clients, rows.iter().map(|row| row[0]).collect());
    let shown = readme.blocks("json config");
    assert_eq!(shown.len(), 1);
    for block in blocks.into_iter().chain(shown) {
        let row = rows.iter().find(|row| row[0] == block.name).unwrap();
        let text = match variables(row[2]) {
            Some(variables) => variables.replace_all(block.text, "/home/you"),
            None => block.text.into(),
        };
        let config: Value = serde_json::from_str(&text).unwrap();
        let [key] = quoted(row[1])[..] else { panic!("one key: {}", row[1]) };
        let servers = config[key].as_object().unwrap();
        assert_eq!((config.as_object().unwrap().len(), servers.len()), (1, 1), "{}", block.name);
        for server in servers.values() {
            let known = ["type", "command", "args", "env"];
            assert!(server.as_object().unwrap().keys().all(|field| known.contains(&&**field)));
            assert!(server.get("type").is_none_or(|form| form == "stdio"), "{}", block.name);
            let arguments = server["args"].as_array().unwrap().iter();
            let words = std::iter::once(&server["command"]).chain(arguments);
            is_sound(&words.map(|word| word.as_str().unwrap()).collect::<Vec<_>>());
        }
    }
}

/// Commands that write a configuration carry the command line after their own `--`.
#[test]
fn configuration_commands_add_a_command_line() {
    let page = Page::topic("clients");
    let commands: Vec<&str> =
        page.text().lines().filter(|line| line.starts_with("claude mcp add ")).collect();
    assert_eq!(commands.len(), 1, "{commands:?}");
    for command in commands {
        let (_, added) = command.split_once(" -- ").unwrap();
        is_sound(&added.split(' ').collect::<Vec<_>>());
    }
}
