//! One violation of each kind, planted in a copy of the repository: exactly its own rule must catch it.

use super::rules::{RULES, Rule};
use super::tree::Tree;

/// The beginning of a rule's name, and a violation of the rule.
type Plant = (&'static str, fn(&mut Tree));

/// At least one violation of each rule.
const PLANTS: &[Plant] = &[
    ("imports are", |tree| {
        tree.append("src/engine/limits/mod.rs", "\nuse crate::engine::json::value::Value;\n");
    }),
    ("imports are", |tree| {
        tree.append("src/shell/registry.rs", "\nuse crate::command::wrap;\n");
    }),
    ("imports are", |tree| {
        tree.append("src/shell/os/mod.rs", "\nuse crate::shell::watch::Watch;\n");
    }),
    ("imports are", |tree| {
        tree.append("src/command/schema.rs", "\nuse crate::command::input::server_name::x;\n");
    }),
    ("imports are", |tree| tree.append("src/engine/new_room.rs", "//! New.\n")),
    ("imports are", |tree| {
        let lib = tree.text("src/lib.rs").replacen("► decide,", "► intercept, decide,", 1);
        tree.put("src/lib.rs", lib);
    }),
    ("no file imports itself", |tree| {
        let decimal = tree.text("src/engine/json/decimal.rs");
        let decimal = format!("use super::value::Value;\n{decimal}");
        tree.put("src/engine/json/decimal.rs", decimal);
    }),
    ("the engine knows", |tree| {
        tree.append("src/engine/limits/mod.rs", "\nfn f() { let _ = std::fs::read(\"x\"); }\n");
    }),
    ("the engine knows", |tree| {
        tree.append("src/engine/wire/line.rs", "\nfn f() { Instant::now(); }\n");
    }),
    ("cli knows", |tree| tree.append("src/cli/check.rs", "\nuse anyhow::Context;\n")),
    ("cli knows", |tree| {
        tree.append("src/cli/check.rs", "\nuse crate::engine::policy::Policy;\n");
    }),
    ("the platform", |tree| tree.append("src/shell/registry.rs", "\nuse rustix::fs::open;\n")),
    ("the platform", |tree| tree.append("src/shell/registry.rs", "\nuse std::os::fd::AsFd;\n")),
    ("the platform", |tree| {
        tree.append("src/command/check.rs", "\n#[cfg(target_os = \"linux\")]\nfn f() {}\n");
    }),
    ("the platform", |tree| {
        tree.append("src/command/check.rs", "\nfn f() { std::fs::read(\"/proc/self/exe\"); }\n");
    }),
    ("unsafe code", |tree| tree.append("src/shell/watch.rs", "\nunsafe fn f() {}\n")),
    ("unsafe code", |tree| tree.append("tests/main.rs", "\nunsafe fn f() {}\n")),
    ("names are imported", |tree| tree.append("src/cli/mod.rs", "\nuse std::fmt::*;\n")),
    ("tests run", |tree| tree.append("tests/main.rs", "\n#[ignore]\nfn f() {}\n")),
    ("tests run", |tree| tree.append("tests/main.rs", "\nfn f() { std::thread::sleep(d); }\n")),
    ("tests start the binary", |tree| {
        let line = concat!("\nfn f() { Command::new(env!(\"CARGO_BIN_", "EXE_callgate\")); }\n");
        tree.append("tests/audit/log.rs", line);
    }),
    ("every allow", |tree| {
        let alone = r#"[{"why":"alone","policy":{},"calls":[{"tool":"a","expect":"allow"}]}]"#;
        tree.put("tests/data/cases/planted.json", alone.to_owned());
    }),
    ("every allow", |tree| {
        let wrong =
            r#"[{"why":"a","twin":"b","policy":{},"calls":[{"tool":"a","expect":"allow"}]}]"#;
        tree.put("tests/data/cases/planted.json", wrong.to_owned());
    }),
    ("nothing is left", |tree| {
        tree.append("benches/decide.rs", &format!("\n// {}{}: later\n", "TO", "DO"));
    }),
    ("files are short", |tree| tree.append("src/main.rs", &"\n".repeat(700))),
    ("folders hold", |tree| {
        for nth in 0..18 {
            tree.put(&format!("tests/harness/more/file_{nth}.rs"), "//! More.\n".to_owned());
        }
    }),
    ("doc comments", |tree| {
        let lines = tree.sources_in("src/").map(|(_, file)| file.text.lines().count()).sum();
        let docs = "/// About nothing.\n".repeat(lines);
        // Many files of at most 600 lines, to keep the other rules.
        for (nth, part) in docs.as_bytes().chunks(19 * 600).enumerate() {
            let folder = format!("src/engine/text/more_{}", nth / 12);
            tree.put(&format!("{folder}/f{nth}.rs"), String::from_utf8(part.to_vec()).unwrap());
        }
    }),
    ("what is cited", |tree| tree.append("src/main.rs", "\n// contract P99\n")),
    ("what is cited", |tree| {
        tree.append("src/manual/contract.md", "\n**Z9.** A rule that nothing tests.\n");
    }),
    ("comments cite", |tree| tree.append("src/main.rs", &format!("\n// {}{} P1\n", "SP", "EC"))),
    ("one name", |tree| {
        tree.append("src/shell/registry.rs", "\npub(super) struct Condition;\n");
    }),
    ("one name", |tree| tree.append("src/command/check.rs", "\n    struct Reader<'a>(&'a str);\n")),
    ("wall clocks", |tree| {
        tree.append("src/command/wrap/mod.rs", "\nfn f() { std::time::SystemTime::now(); }\n");
    }),
];

fn rule(first: &str) -> &'static Rule {
    let mut found = RULES.iter().filter(|rule| rule.name.starts_with(first));
    found.next().unwrap_or_else(|| panic!("no rule begins with `{first}`"))
}

#[test]
fn every_planted_violation_is_caught_by_its_rule_alone() {
    let clean = Tree::load();
    for (nth, (first, plant)) in PLANTS.iter().enumerate() {
        let mut tree = clean.clone();
        plant(&mut tree);
        let caught = rule(first);
        // Another test checks that all other files keep all rules.
        let complaints = |rule: &Rule| rule.complaints_of(&tree, tree.changed_since(&clean));
        assert!(!complaints(caught).is_empty(), "plant {nth}: not caught by `{first}`");
        for other in RULES.iter().filter(|other| other.name != caught.name) {
            // An import that the picture forbids often closes a circle too.
            if first.starts_with("imports are") && other.name.starts_with("no file imports itself")
            {
                continue;
            }
            let complaints = complaints(other);
            assert!(
                complaints.is_empty(),
                "plant {nth}: caught by `{}` too: {complaints:?}",
                other.name
            );
        }
    }
}

#[test]
fn every_rule_has_a_planted_violation() {
    for rule in &RULES {
        let planted = PLANTS.iter().any(|(first, _)| rule.name.starts_with(first));
        assert!(planted, "nothing breaks `{}`", rule.name);
    }
}
