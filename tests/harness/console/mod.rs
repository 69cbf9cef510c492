//! Console transcripts: commands as typed, with their output, run for real.
//!
//! ```text
//! $ callgate wrap --policy missing.json -- true
//! 2> error: failed to read policy `missing.json`: No such file or directory
//! ? 2
//! ```
//!
//! `$` begins a command and `>` continues it; `sh` runs it. `2>` marks a line of stderr, `?` the exit status if it is
//! not 0. In a line `…` stands for any text, and alone for any number of lines. `#` begins a comment.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// The time limit for a command. Some start a real server.
const PATIENCE: Duration = Duration::from_mins(2);

/// One command with its expected output.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) command: String,
    stdout: Vec<String>,
    stderr: Vec<String>,
    status: i32,
}

/// The result of a command.
struct Done {
    stdout: Vec<String>,
    stderr: Vec<String>,
    status: Option<i32>,
}

/// Reads a transcript.
pub(crate) fn steps(transcript: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in transcript.lines().filter(|line| !line.starts_with("# ")) {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), ..Step::default() });
            continue;
        }
        if line.is_empty() && steps.is_empty() {
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("no command before `{line}`"));
        let printed = !step.stdout.is_empty() || !step.stderr.is_empty();
        if let Some(more) = line.strip_prefix("> ").filter(|_| !printed) {
            step.command = format!("{}\n{more}", step.command);
        } else if let Some(status) = line.strip_prefix("? ") {
            step.status = status.parse().expect("an exit status");
        } else if let Some(text) = line.strip_prefix("2>") {
            step.stderr.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        } else {
            step.stdout.push(line.to_owned());
        }
    }
    assert!(!steps.is_empty(), "a transcript without commands");
    for step in &mut steps {
        // Blank lines between steps are for readers.
        while step.stdout.pop_if(|line| line.is_empty()).is_some() {}
    }
    steps
}

/// The place where commands run: with `callgate` in the path, and without the developer's environment variables.
pub(crate) struct Shell {
    bin: TempDir,
    dir: PathBuf,
}

impl Shell {
    /// Runs in this directory.
    pub(crate) fn new(dir: &Path) -> Self {
        let bin = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_callgate"), bin.path().join("callgate")).unwrap();
        Shell { bin, dir: dir.to_owned() }
    }

    /// Adds a script to the path, before others of its name.
    pub(crate) fn with_script(self, name: &str, text: &str) -> Self {
        let file = self.bin.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Checks that a step writes exactly these lines to each stream, in order, and has this exit status.
    pub(crate) fn does_exactly(&self, step: &Step) -> Result<(), String> {
        let done = self.run(step);
        let holds = same_lines(&step.stdout, &done.stdout)
            && same_lines(&step.stderr, &done.stderr)
            && done.status == Some(step.status);
        if holds { Ok(()) } else { Err(report(step, &done)) }
    }

    /// Checks that a step shows these lines on a terminal, in any order because there are two streams and two writers,
    /// and that all output of callgate is listed. Messages on stderr of a server or npm need not be, nor callgate's
    /// warnings about a working copy whose files others can write.
    pub(crate) fn shows(&self, step: &Step) -> Result<(), String> {
        let done = self.run(step);
        let mut left: Vec<&String> = done.stdout.iter().chain(&done.stderr).collect();
        let expected = step.stdout.iter().filter(|line| *line != "…");
        let missing: Vec<&String> = expected
            .filter(|line| match left.iter().position(|printed| matches(line, printed)) {
                Some(place) => {
                    left.remove(place);
                    false
                }
                None => true,
            })
            .collect();
        let shortened = step.stdout.iter().any(|line| line == "…");
        let ours = |line: &String| {
            let marked = line.starts_with("callgate: ") || line.starts_with("error: ");
            done.stdout.contains(line)
                || marked && !(line.contains(": warning: ") && line.contains("is writable by"))
        };
        let unsaid = !shortened && left.iter().any(|line| ours(line));
        if missing.is_empty() && !unsaid && done.status == Some(step.status) {
            return Ok(());
        }
        Err(format!("missing: {missing:#?}\nunsaid: {left:#?}\n{}", report(step, &done)))
    }

    fn run(&self, step: &Step) -> Done {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::iter::once(self.bin.path().to_owned()).chain(std::env::split_paths(&others));
        let mut command = Command::new("sh");
        // A developer whose umask lets others write new files gets warnings about them.
        command.arg("-c").arg(format!("umask 022\n{}", step.command)).current_dir(&self.dir);
        for name in ["POLICY", "GRANT", "STATE"] {
            command.env_remove(format!("CALLGATE_{name}"));
        }
        command.env("PATH", std::env::join_paths(path).unwrap()).env("COLUMNS", "100");
        command.env("XDG_STATE_HOME", self.bin.path().join("state"));
        let Output { status, stdout, stderr } = output_in_time(&mut command);
        let lines = |bytes: Vec<u8>| -> Vec<String> {
            String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect()
        };
        Done { stdout: lines(stdout), stderr: lines(stderr), status: status.code() }
    }
}

/// Runs a command with empty stdin.
fn output_in_time(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().expect("sh");
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = kill_process_group(group, Signal::KILL);
        panic!("not done after {PATIENCE:?}: {command:?}")
    });
    output.expect("the command's output")
}

fn same_lines(expected: &[String], printed: &[String]) -> bool {
    let pairs = || expected.iter().zip(printed);
    expected.len() == printed.len() && pairs().all(|(line, printed)| matches(line, printed))
}

fn matches(expected: &str, printed: &str) -> bool {
    let parts: Vec<String> = expected.split('…').map(regex::escape).collect();
    Regex::new(&format!("^{}$", parts.join(".*"))).expect("a pattern").is_match(printed)
}

/// The step with its actual output, as the transcript would have to show it.
fn report(step: &Step, done: &Done) -> String {
    let mut text = format!("$ {}\n", step.command.replace('\n', "\n> "));
    for line in &done.stdout {
        text.extend([line, "\n"]);
    }
    for line in &done.stderr {
        text.extend([format!("2> {line}").trim_end(), "\n"]);
    }
    match done.status {
        Some(0) => text,
        Some(status) => format!("{text}? {status}\n"),
        None => format!("{text}? killed\n"),
    }
}
