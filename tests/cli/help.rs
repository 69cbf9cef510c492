//! The examples in help texts work: each runs beside the files that it names.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use callgate::cli::Cli;
use clap::{Command, CommandFactory as _};

use crate::harness::console::{Shell, steps};
use crate::manual::with_pinned_servers;

/// A policy that allows the examples' calls, and one that does not.
const POLICY: &str = r#"{
  "version": "1",
  "default": "deny",
  "tools": {
    "create_refund": { "require": [ { "conditions": [ { "path": "args.amount", "op": "lte", "value": 500 } ] } ] },
    "image_generate": {
      "limits": [ { "counter": "image_spend_usd", "window": "day", "max": 1.00, "increment": 0.005 } ]
    }
  }
}
"#;
const OLD_POLICY: &str = r#"{"version":"1","default":"deny","tools":{"image_generate":{}}}"#;

/// An Intercept policy.
const INTERCEPT: &str = "version: \"1\"\ndefault: deny\ntools:\n  search:\n    rules: [{ name: few, rate_limit: 5/hour }]\n";

/// A server's list, and two calls.
const SESSION: &str = r#"{"t":"2026-11-22T10:00:00.000Z","from":"client","text":"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"}
{"t":"2026-11-22T10:00:00.010Z","from":"server","text":"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"create_refund\",\"inputSchema\":{\"type\":\"object\"}},{\"name\":\"image_generate\",\"inputSchema\":{\"type\":\"object\"}}]}}"}
{"t":"2026-11-22T10:00:01.000Z","from":"client","text":"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\",\"params\":{\"name\":\"create_refund\",\"arguments\":{\"amount\":150}}}"}
{"t":"2026-11-22T10:00:02.000Z","from":"client","text":"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"image_generate\"}}"}
"#;

/// Creates a counter of alice's, and a log with a noted head.
const YESTERDAY: &str = r#"$ printf '%s\n' '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"image_generate"}}' '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"delete_image"}}' |
> callgate wrap -q --grant alice --server images --policy policy.json -- sh -c 'read call; echo "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"; read end' >answers
> grep -c '"result"' answers
2
$ callgate log verify --format json | sed 's/.*"head":"\([0-9a-f]*\)".*/\1/' >noted-yesterday
$ grep -Ec '^[0-9a-f]{64}$' noted-yesterday
1"#;

/// Collects the examples in the help of a command and its subcommands, each with the command's name.
fn examples(command: &Command, name: &str, found: &mut Vec<(String, String)>) {
    let help = [command.get_after_help(), command.get_after_long_help()];
    let texts: Vec<String> = help.into_iter().flatten().map(ToString::to_string).collect();
    let lines = texts.iter().flat_map(|text| text.lines()).filter_map(|line| {
        line.strip_prefix("Example: ").or_else(|| line.strip_prefix("  ").map(str::trim))
    });
    let before = found.len();
    found.extend(lines.map(|line| (name.to_owned(), line.to_owned())));
    assert!(found.len() > before, "`{name} --help` has no example");
    for below in command.get_subcommands() {
        examples(below, &format!("{name} {}", below.get_name()), found);
    }
}

/// `--state memory` is offered where a session begins, and not where stored counters are shown.
#[test]
fn only_a_session_keeps_counters_in_memory() {
    let mut program = Cli::command();
    program.build();
    for (verbs, offers) in [
        (&["wrap"][..], true),
        (&["status"], false),
        (&["status", "reset"], false),
        (&["log"], false),
        (&["log", "verify"], false),
    ] {
        let command = verbs.iter().fold(&mut program, |command, verb| {
            command.find_subcommand_mut(verb).expect("a verb with this name")
        });
        let help = command.render_long_help().to_string();
        assert!(help.contains("--state <STATE>"), "{verbs:?}: {help}");
        assert_eq!(help.contains("memory"), offers, "{verbs:?}: {help}");
    }
}

#[test]
fn every_example_of_every_help_text_works() {
    let mut found = Vec::new();
    let mut cli = Cli::command();
    // Builds the options of every verb.
    cli.build();
    examples(&cli, "callgate", &mut found);
    assert!(found.len() >= 12, "only {found:?}");
    let failures: Vec<String> = found
        .iter()
        .filter_map(|(name, example)| {
            assert!(
                example == name || example.starts_with(&format!("{name} ")),
                "`{name} --help` shows another command: {example}"
            );
            run(example).err().map(|why| format!("{name} --help:\n{why}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs an example in a directory and state of its own. It must end with 0 and report no problem.
fn run(example: &str) -> Result<(), String> {
    let ours_alone = fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().permissions(ours_alone).tempdir().unwrap();
    for (name, text) in [
        ("policy.json", POLICY),
        ("new.json", POLICY),
        ("old.json", OLD_POLICY),
        ("session.jsonl", SESSION),
        ("intercept.yaml", INTERCEPT),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let shell = with_pinned_servers(Shell::new(dir.path()));
    for step in steps(YESTERDAY) {
        shell.does_exactly(&step)?;
    }
    // A command that never ends by itself ends when its reader is gone.
    let cut = if example.ends_with("--watch") { " | head -n 1" } else { "" };
    let home = if example.contains("~/") {
        "export HOME=\"$PWD\"; mkdir -p ~/.local/share/bash-completion/completions; "
    } else {
        ""
    };
    let run = format!("$ {home}{example}{cut}\n…");
    for step in steps(&run) {
        shell.shows(&step)?;
    }
    Ok(())
}

/// `callgate --help` lists every verb once, with the text that begins the verb's own help.
#[test]
fn the_help_lists_every_verb() {
    let mut cli = Cli::command();
    let help = cli.render_help().to_string();
    // Builds the texts of every verb.
    cli.build();
    for verb in cli.get_subcommands() {
        let about = verb.get_about().unwrap().to_string();
        let line = format!("\n  {:<12} {about}\n", verb.get_name());
        assert_eq!(help.matches(&line).count(), 1, "{line:?} in {help}");
        let long = verb.get_long_about().map_or_else(|| about.clone(), ToString::to_string);
        assert!(long.starts_with(&about), "{long}");
    }
    let listed = help.lines().filter(|line| line.starts_with("  ") && !line.starts_with("  -"));
    assert_eq!(listed.count(), cli.get_subcommands().count());
}
