//! Clippy enforces the lints about clocks, files and long functions: it checks a scratch crate that has this crate's
//! settings, and a violation in each of its modules.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::process::Process;

/// A lint, and code that violates it.
const PLANTS: &[(&str, &str)] = &[
    ("clippy::disallowed_methods", "pub fn f() -> bool { std::env::var(\"x\").is_ok() }"),
    ("clippy::disallowed_methods", "pub fn f() -> bool { std::fs::read(\"x\").is_ok() }"),
    ("clippy::disallowed_methods", "pub fn f(path: &std::path::Path) -> bool { path.exists() }"),
    ("clippy::disallowed_methods", "pub fn f() -> u32 { std::process::id() }"),
    ("clippy::disallowed_methods", "pub fn f() { std::thread::spawn(|| 1).join().ok(); }"),
    ("clippy::disallowed_methods", "pub fn f() { drop(std::io::stdout()); }"),
    ("clippy::disallowed_methods", "use std::time::Instant;\npub fn f() { drop(Instant::now()); }"),
    (
        "clippy::disallowed_methods",
        "use std::time::SystemTime as T;\npub fn f() -> bool { T::now().elapsed().is_ok() }",
    ),
    ("clippy::disallowed_types", "pub fn f(_: std::time::Instant) {}"),
    ("clippy::disallowed_types", "pub fn f(_: &std::fs::File) {}"),
    ("clippy::disallowed_types", "pub fn f() { drop(std::process::Command::new(\"x\")); }"),
    ("clippy::disallowed_types", "pub fn f(_: &std::net::TcpStream) {}"),
    ("clippy::too_many_lines", "pub fn f() {\n@}"),
    ("clippy::print_stdout", "pub fn f() { println!(\"x\"); }"),
    ("clippy::print_stderr", "pub fn f() { eprintln!(\"x\"); }"),
    ("clippy::dbg_macro", "pub fn f() -> u8 { dbg!(1) }"),
    ("clippy::todo", "pub fn f() { todo!() }"),
    ("clippy::unwrap_used", "pub fn f(x: Option<u8>) -> u8 { x.unwrap() }"),
    ("clippy::expect_used", "pub fn f(x: Option<u8>) -> u8 { x.expect(\"x\") }"),
    ("clippy::panic", "pub fn f() { panic!(\"x\") }"),
    ("clippy::indexing_slicing", "pub fn f(x: &[u8]) -> u8 { x[0] }"),
    ("clippy::arithmetic_side_effects", "pub fn f(x: u8) -> u8 { x + 1 }"),
    ("clippy::allow_attributes_without_reason", "#[allow(dead_code)]\nfn f() {}"),
    ("unsafe_code", "pub fn f() { unsafe { core::hint::unreachable_unchecked() } }"),
    ("missing_docs", "pub fn f() {}"),
];

/// The longest function has 70 lines.
const TOO_LONG: usize = 71;

#[test]
fn clippy_enforces_every_lint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let lints = manifest.find("[lints.rust]").expect("lints in Cargo.toml");
    // Cargo's directory for test files keeps the scratch crate's build from run to run.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints");
    fs::create_dir_all(scratch.join("src")).unwrap();
    fs::copy(root.join(".clippy.toml"), scratch.join(".clippy.toml")).unwrap();
    let head =
        "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(scratch.join("Cargo.toml"), format!("{head}{}", &manifest[lints..])).unwrap();
    let modules: Vec<String> = (0..PLANTS.len()).map(|nth| format!("pub mod m{nth};")).collect();
    fs::write(scratch.join("src/lib.rs"), modules.join("\n")).unwrap();
    for (nth, (_, code)) in PLANTS.iter().enumerate() {
        let code = code.replace('@', &"    let _ = 1;\n".repeat(TOO_LONG));
        fs::write(scratch.join(format!("src/m{nth}.rs")), code + "\n").unwrap();
    }

    let mut clippy = std::process::Command::new(env!("CARGO"));
    clippy.args(["clippy", "--offline", "--quiet", "--message-format=json"]);
    clippy.current_dir(&scratch).env("CARGO_TARGET_DIR", scratch.join("target"));
    // The developer's flags may turn warnings into errors.
    clippy.env_remove("RUSTFLAGS");
    let end = Process::spawn(&mut clippy).with_patience(4).end();
    let found: BTreeSet<(String, String)> = end
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| {
            let message = &line["message"];
            let file = message["spans"][0]["file_name"].as_str()?;
            Some((file.to_owned(), message["code"]["code"].as_str()?.to_owned()))
        })
        .collect();
    for (nth, (lint, code)) in PLANTS.iter().enumerate() {
        let wanted = (format!("src/m{nth}.rs"), (*lint).to_owned());
        assert!(found.contains(&wanted), "{lint} does not find `{code}`:\n{}", end.stderr);
    }
}
