//! The server: as fast as a server can be that reads its calls and answers each one. It prepares its answers before it
//! starts.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lines::Lines;
use crate::payload::{COUNT, Large, SMALL};

/// Serves until the end of input. `answers` says how:
///
/// - `small`: each call gets [`SMALL`];
/// - `results=LARGE`: each call gets this value;
/// - `arguments=LARGE`: each call must carry this value, and gets [`SMALL`];
/// - `flood`: the first call gets [`SMALL`]; endless notifications follow.
pub fn run(answers: &str) -> Result<()> {
    let (kind, large) = answers.split_once('=').unwrap_or((answers, ""));
    let result = match kind {
        "results" => large.parse::<Large>()?.result(),
        _ => SMALL.to_owned(),
    };
    let expected = match kind {
        "arguments" => Some(large.parse::<Large>()?.arguments()),
        _ => None,
    };
    let mut lines = Lines::new(File::from(std::io::stdin().as_fd().try_clone_to_owned()?));
    let mut stdout = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let mut line_out = Vec::new();
    let mut calls = 0_usize;
    while lines.fill()? {
        while let Some(line) = lines.ready() {
            if line.trim_ascii_end() == COUNT.as_bytes() {
                answer(&mut stdout, &mut line_out, "0", &calls.to_string())?;
                continue;
            }
            let Call { id, method, params } = serde_json::from_slice(line)?;
            let carried = expected.as_deref().is_none_or(|data| params.arguments.get() == data);
            ensure!(method == "tools/call" && carried, "a call was altered");
            ensure!(
                ["echo", "free", "spent", "twice"].contains(&params.name),
                "`{}` was called",
                params.name
            );
            calls += 1;
            answer(&mut stdout, &mut line_out, id.get(), &result)?;
        }
        if kind == "flood" && calls > 0 {
            flood(&mut stdout);
        }
    }
    Ok(())
}

/// Each answer is a separate write, as in the SDKs.
fn answer(stdout: &mut File, line: &mut Vec<u8>, id: &str, result: &str) -> Result<()> {
    line.clear();
    line.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    line.extend_from_slice(id.as_bytes());
    line.extend_from_slice(br#","result":"#);
    line.extend_from_slice(result.as_bytes());
    line.extend_from_slice(b"}\n");
    Ok(stdout.write_all(line)?)
}

/// Writes until the driver has read enough.
fn flood(stdout: &mut File) {
    let noise = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#;
    let noise = [noise, "\n"].concat().repeat(100);
    while stdout.write_all(noise.as_bytes()).is_ok() {}
}

/// The parts of a call that every server must read.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: &'a str,
    #[serde(borrow)]
    arguments: &'a RawValue,
}
