//! The server: as fast as one can be that reads lines and answers each. Its answers are made before it starts.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};

use crate::lines::Lines;
use crate::payload::{COUNT, Large, Parts, SMALL};

/// Serves until the end of input. `answers` says how:
///
/// - `small`: each call gets [`SMALL`];
/// - `results=LARGE`: each call gets this value;
/// - `arguments=LARGE`: each call must carry this value, and gets [`SMALL`];
/// - `flood`: the first call gets [`SMALL`], and then come notifications for ever.
pub fn run(answers: &str) -> Result<()> {
    let (kind, large) = answers.split_once('=').unwrap_or((answers, ""));
    let result = match kind {
        "results" => large.parse::<Large>()?.result(),
        _ => SMALL.to_owned(),
    };
    let expected = match kind {
        "arguments" => Some(large.parse::<Large>()?.call()),
        _ => None,
    };
    let mut lines = Lines::new(File::from(std::io::stdin().as_fd().try_clone_to_owned()?));
    let mut stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let mut output = Vec::new();
    let mut calls = 0_usize;
    while lines.fill()? {
        while let Some(line) = lines.ready() {
            if line.trim_ascii_end() == COUNT.as_bytes() {
                push_answer(&mut output, b"0", &calls.to_string());
                continue;
            }
            let id = id(line)?;
            if let Some(Parts { head, tail }) = &expected {
                let whole = head.len() + id.len() + tail.len() == line.len();
                ensure!(whole && line.ends_with(tail.as_bytes()), "a call was altered");
            }
            calls += 1;
            push_answer(&mut output, id, &result);
        }
        stdout.write_all(&output)?;
        output.clear();
        if kind == "flood" && calls > 0 {
            flood(&mut stdout);
        }
    }
    Ok(())
}

fn push_answer(output: &mut Vec<u8>, id: &[u8], result: &str) {
    output.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    output.extend_from_slice(id);
    output.extend_from_slice(br#","result":"#);
    output.extend_from_slice(result.as_bytes());
    output.extend_from_slice(b"}\n");
}

/// Writes for ever, or until the driver has seen enough.
fn flood(stdout: &mut File) {
    let noise = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
    let noise = [noise, "\n"].concat().repeat(100);
    while stdout.write_all(noise.as_bytes()).is_ok() {}
}

/// The id of a call.
fn id(line: &[u8]) -> Result<&[u8]> {
    const KEY: &[u8] = br#""id":"#;
    let at = memchr::memmem::find(line, KEY).context("no id")? + KEY.len();
    let end = memchr::memchr(b',', &line[at..]).context("no end of the id")?;
    Ok(&line[at..at + end])
}
