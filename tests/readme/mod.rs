//! What README.md says is true: its commands are run, its policies compiled, its tables compared.

mod clients;
mod fragments;
mod page;
mod scan;
mod schema;
mod status;
mod tables;

use std::fs;
use std::path::Path;

use callgate::engine::compile::compile;
use regex::Regex;
use serde_json::Value;

use crate::console::{Shell, steps};
use page::Page;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Commands show what they show, before the real server.
#[test]
fn commands_show_what_the_page_says() {
    let page = Page::read();
    let shell = with_pinned_servers(Shell::new(root()));
    let mut count = 0;
    for block in page.blocks("console") {
        for mut step in steps(block.text) {
            step.command = step.command.replace("cargo run --quiet --release -- ", "callgate ");
            count += 1;
            shell.shows(&step).unwrap_or_else(|why| panic!("README.md:{}:\n{why}", block.line));
        }
    }
    assert!(count >= 2, "only {count} commands");
}

/// A shell in which `npx` runs the pinned servers from where they are installed, if they are.
pub(crate) fn with_pinned_servers(shell: Shell) -> Shell {
    let servers = root().join("target/real-peers");
    if !servers.join("installed").exists() {
        return shell;
    }
    let npx = format!(
        "#!/bin/sh\nshift\npackage=${{1##*/}}\nshift\nexec '{}'/node_modules/.bin/mcp-\"${{package%@*}}\" \"$@\"\n",
        servers.display()
    );
    shell.with_script("npx", &npx)
}

/// The servers of the page are those that `tests/real` pins.
#[test]
fn the_servers_are_the_pinned_ones() {
    let pins = fs::read_to_string(root().join("tests/real/package.json")).unwrap();
    let pins: Value = serde_json::from_str(&pins).unwrap();
    let page = Page::read();
    let mentioned = Regex::new(r"(@modelcontextprotocol/server-[\w-]+)(@[\w.]+\w)?").unwrap();
    let mut count = 0;
    for server in mentioned.captures_iter(page.text()) {
        let version = server.get(2).map(|version| version.as_str());
        let pinned = pins["dependencies"][&server[1]].as_str().map(|pin| format!("@{pin}"));
        assert_eq!(version, pinned.as_deref(), "{}", &server[1]);
        count += 1;
    }
    assert!(count >= 3, "only {count} servers");
}

/// Whole policies are sound; one that stands in a file is that file.
#[test]
fn policies_compile() {
    let page = Page::read();
    let mut count = 0;
    for block in page.blocks("json policy") {
        compile(block.text.as_bytes())
            .unwrap_or_else(|problems| panic!("README.md:{}: {problems:#?}", block.line));
        if !block.name.is_empty() {
            assert_eq!(block.text, fs::read_to_string(root().join(block.name)).unwrap());
        }
        count += 1;
    }
    assert!(count >= 3, "only {count} policies");
    let example = fs::read(root().join("policy.example.json")).unwrap();
    compile(&example).unwrap();
    let example: Value = serde_json::from_slice(&example).unwrap();
    let tools = example["tools"].as_object().unwrap().len();
    assert!(page.text().contains(&format!("the IteraTools MCP server, {tools} tools")));
}

/// Every JSON block is of a kind that a test here knows.
#[test]
fn no_block_goes_unchecked() {
    let kinds = ["policy", "config", "settings", "rule", "condition", "limit", "answer"];
    for block in Page::read().blocks("json") {
        let kind = block.name.split(' ').next().unwrap_or_default();
        assert!(kinds.contains(&kind), "README.md:{}: what is `json {kind}`?", block.line);
    }
}

/// What the page quotes of callgate's words, in double backticks, is what callgate says in a transcript.
#[test]
fn quoted_messages_are_said() {
    let page = Page::read();
    let quoted = Regex::new("[^`]``([^`].*?[^`])``[^`]").unwrap();
    let quoted: Vec<&str> =
        quoted.captures_iter(page.text()).map(|quote| quote.get(1).unwrap().as_str()).collect();
    assert!(quoted.len() >= 5, "only {quoted:?}");
    let said = transcripts();
    for quote in quoted {
        assert!(said.contains(quote), "no transcript of tests/cli says: {quote}");
    }
}

/// What callgate is shown to say when it is used by hand.
fn transcripts() -> String {
    let files = fs::read_dir(root().join("tests/cli")).unwrap().map(|file| file.unwrap().path());
    let transcripts = files.filter(|file| file.extension().is_some_and(|end| end == "console"));
    transcripts.map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Links lead to files that exist and to headings of the page.
#[test]
fn links_lead_somewhere() {
    let page = Page::read();
    let anchors: Vec<String> = page.headings().map(page::anchor).collect();
    let links: Vec<&str> = page.links().collect();
    assert!(links.len() >= 10, "only {} links", links.len());
    for link in links {
        match link.strip_prefix('#') {
            Some(anchor) => assert!(anchors.iter().any(|known| known == anchor), "#{anchor}"),
            None if link.starts_with("https://") => {}
            None => assert!(root().join(link).exists(), "{link}"),
        }
    }
}

/// What it asks of the machine is what the package does.
#[test]
fn the_rust_version_is_the_packages() {
    let wanted = format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    assert!(Page::read().text().contains(&wanted), "{wanted}");
}
