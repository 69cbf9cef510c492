//! Shows the manual in a pager, as `man` and `git` do: on a terminal only.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::command::show::stdout;
use crate::shell::os::{self, Signal};

/// The pager if `PAGER` names none, and its options: quit at once if the text fits the screen (`F`), show colours
/// (`R`), leave the text on the screen (`X`).
const PAGER: &str = "less";
const OPTIONS: &str = "-FRX";

/// The exit codes of a shell that cannot run a command.
const NOT_RUN: [i32; 2] = [126, 127];

/// Shows a text in the pager if stdout is a terminal. Prints it otherwise, or if there is no pager.
///
/// # Errors
/// stdout cannot be written.
pub(super) fn show(text: &str) -> anyhow::Result<()> {
    if io::stdout().is_terminal() && paged(text).unwrap_or(false) {
        return Ok(());
    }
    stdout::result(|out| Ok(out.write_all(text.as_bytes())?))
}

/// Runs the pager; false if there is none.
fn paged(text: &str) -> io::Result<bool> {
    let Some(mut pager) = start()? else { return Ok(false) };
    // While the pager runs, Ctrl-C belongs to it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let _interrupts = os::listen(Signal::INT)?;
    if let Some(mut stdin) = pager.stdin.take() {
        // A reader may close the pager early.
        let _ = stdin.write_all(text.as_bytes());
    }
    let status = pager.wait()?;
    Ok(status.code().is_none_or(|code| !NOT_RUN.contains(&code)))
}

/// Starts the pager; `None` if there is none, or the user wants none.
fn start() -> io::Result<Option<Child>> {
    let mut command = match std::env::var("PAGER") {
        Ok(pager) if matches!(pager.trim(), "" | "cat") => return Ok(None),
        Ok(pager) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &pager]);
            shell
        }
        Err(_) => {
            let mut less = Command::new(PAGER);
            less.arg(OPTIONS);
            less
        }
    };
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    match command.stdin(Stdio::piped()).spawn() {
        Ok(child) => Ok(Some(child)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
