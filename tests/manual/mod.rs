//! README.md and the manual are correct: the tests run their commands, compile their policies, compare their tables
//! with the code, and follow their links.

mod clients;
mod contract;
mod fragments;
mod page;
mod scan;
mod schema;
mod shown;
mod status;
mod tables;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use callgate::cli::Cli;
use callgate::engine::compile::compile;
use callgate::manual;
use clap::CommandFactory as _;
use regex::Regex;
use serde_json::Value;

use crate::harness::console::{Shell, steps};
use page::{Page, each_block};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Commands print what the pages show, with real servers. Those of one page run one after another.
#[test]
fn commands_show_what_the_pages_say() {
    let mut count = 0;
    let mut failures = Vec::new();
    for page in Page::all() {
        let shell = with_pinned_servers(Shell::new(root()));
        for block in page.blocks("console") {
            // On a busy machine, a second may pass between two calls.
            let text = block.text.replace("Try again in 61 s.", "Try again in … s.");
            for mut step in steps(&text) {
                step.command = step.command.replace("cargo run --quiet --release -- ", "callgate ");
                count += 1;
                failures
                    .extend(shell.shows(&step).err().map(|why| format!("{}:\n{why}", block.place)));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(count >= 25, "only {count} commands");
}

/// A shell in which `npx` runs the installed, pinned servers, if there are any.
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

/// The servers on the pages are the versions that `tests/data/peers` pins.
#[test]
fn the_servers_are_the_pinned_ones() {
    let pins = fs::read_to_string(root().join("tests/data/peers/package.json")).unwrap();
    let pins: Value = serde_json::from_str(&pins).unwrap();
    let mentioned = Regex::new(r"(@modelcontextprotocol/server-[\w-]+)(@[\w.]+\w)?").unwrap();
    let mut count = 0;
    for page in Page::all() {
        for server in mentioned.captures_iter(page.text()) {
            let version = server.get(2).map(|version| version.as_str());
            let pinned = pins["dependencies"][&server[1]].as_str().map(|pin| format!("@{pin}"));
            assert_eq!(version, pinned.as_deref(), "{}: {}", page.path, &server[1]);
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} servers");
}

/// Complete policies compile; one that is stored in a file equals that file.
#[test]
fn policies_compile() {
    let count = each_block("json policy", |block| {
        compile(block.text.as_bytes())
            .unwrap_or_else(|problems| panic!("{}: {problems:#?}", block.place));
        if !block.name.is_empty() {
            assert_eq!(block.text, fs::read_to_string(root().join(block.name)).unwrap());
        }
    });
    assert!(count >= 6, "only {count} policies");
    let example = fs::read(root().join("policy.example.json")).unwrap();
    compile(&example).unwrap();
    let example: Value = serde_json::from_slice(&example).unwrap();
    let tools = example["tools"].as_object().unwrap().len();
    let said = format!("the IteraTools MCP server, {tools} tools");
    assert!(Page::topic("policy").text().contains(&said), "{said}");
    let said = format!("a real server with {tools} paid tools");
    assert!(Page::readme().text().contains(&said), "{said}");
}

/// Every JSON block is of a kind that a test checks, and so is every other block.
#[test]
fn every_block_is_checked() {
    let kinds = ["policy", "config", "settings", "rule", "condition", "limit", "answer"];
    each_block("json", |block| {
        let kind = block.name.split(' ').next().unwrap_or_default();
        assert!(kinds.contains(&kind), "{}: what is `json {kind}`?", block.place);
    });
    for page in Page::all() {
        let known: usize =
            ["json", "console", "text", ""].iter().map(|kind| page.blocks(kind).len()).sum();
        assert_eq!(page.text().matches("```").count(), 2 * known, "{}", page.path);
    }
}

/// Blocks without a kind are drawings, synopses, and commands that change the machine. callgate must accept the
/// callgate commands in them.
#[test]
fn commands_that_do_not_run_are_accepted() {
    let blank = Regex::new(r"\b[A-Z]{4,}\b").unwrap();
    let mut count = 0;
    each_block("", |block| {
        for line in block.text.lines().filter(|line| line.starts_with("callgate ")) {
            // Words in capitals in a synopsis are placeholders.
            let command = line.split("   ").next().unwrap_or_default();
            if blank.is_match(command) {
                continue;
            }
            let words = command.split(['>', '|']).next().unwrap_or_default();
            let words = words.split_whitespace().map(|word| word.trim_matches('\''));
            let parsed = Cli::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{}: {line}: {}", block.place, parsed.unwrap_err());
            count += 1;
        }
    });
    assert!(count >= 6, "only {count} commands");
}

/// Every callgate message that a page quotes in double backticks appears in a transcript. The contract quotes messages
/// with letters in place of numbers and names; the tables of other pages show the full messages.
#[test]
fn quoted_messages_appear_in_transcripts() {
    let quoted = Regex::new("[^`]``([^`].*?[^`])``[^`]").unwrap();
    let said = transcripts();
    let mut count = 0;
    for page in Page::all().iter().filter(|page| !page.path.ends_with("contract.md")) {
        let prose = page.prose();
        for quote in quoted.captures_iter(&prose) {
            let quote = quote.get(1).unwrap().as_str();
            assert!(said.contains(quote), "{}: no transcript says: {quote}", page.path);
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} quotes");
}

/// The output of callgate in the transcripts of manual use.
fn transcripts() -> String {
    let files = fs::read_dir(root().join("tests/cli")).unwrap().map(|file| file.unwrap().path());
    let transcripts = files.filter(|file| file.extension().is_some_and(|end| end == "console"));
    transcripts.map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Links lead to existing pages, headings and files.
#[test]
fn links_lead_to_existing_targets() {
    let mut count = 0;
    for page in Page::all().into_iter().chain(Page::of_forge()) {
        let file = root().join(&page.path);
        let folder = file.parent().unwrap();
        for link in page.links().iter().filter(|link| !link.starts_with("https://")) {
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { folder.join(path) };
            assert!(target.exists(), "{}: {link}", page.path);
            if anchor.is_empty() {
                continue;
            }
            let topic = target.file_stem().and_then(|name| name.to_str()).unwrap();
            let there = if topic == "README" { Page::readme() } else { Page::topic(topic) };
            let known = there.anchors();
            assert!(known.iter().any(|known| known == anchor), "{}: {link}: {known:?}", page.path);
        }
    }
    assert!(count >= 100, "only {count} links");
}

/// Every file of the manual is a page with its own name and one title; every verb has a page; README.md links to all.
#[test]
fn every_page_is_linked() {
    let files = fs::read_dir(root().join("src/manual")).unwrap().map(|file| file.unwrap().path());
    let pages = files.filter(|file| file.extension().is_some_and(|end| end == "md"));
    let pages: BTreeSet<String> =
        pages.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let topics: Vec<&str> = manual::pages().map(|page| page.topic).collect();
    let distinct: BTreeSet<String> = topics.iter().map(ToString::to_string).collect();
    assert_eq!((&distinct, topics.len()), (&pages, pages.len()));
    let readme = Page::readme();
    let links = readme.links();
    for page in manual::pages() {
        let titles = Page::topic(page.topic).prose().matches("\n# ").count();
        assert!(page.text.starts_with("# ") && titles == 0, "{}: one title", page.topic);
        let link = format!("src/manual/{}.md", page.topic);
        assert!(links.contains(&link), "README.md does not link to {link}");
    }
    let verbs = Cli::command();
    let verbs = verbs.get_subcommands().map(clap::Command::get_name);
    for verb in verbs {
        assert!(distinct.contains(verb), "no page for `{verb}`");
    }
}

/// README.md fits on one page.
#[test]
fn the_readme_is_short() {
    let lines = Page::readme().text().lines().count();
    assert!(lines <= 250, "{lines} lines");
}

/// The Rust version in the pages is the one in the package.
#[test]
fn the_rust_version_is_the_packages() {
    let wanted = format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"));
    for page in [Page::readme(), Page::topic("quick-start")] {
        assert!(page.text().contains(&wanted), "{}: {wanted}", page.path);
    }
}
