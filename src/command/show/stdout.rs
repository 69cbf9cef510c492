//! Prints the results of commands on stdout (contract C1).

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::Duration;

use crate::shell::os::{self, Output};

/// The number of columns if it cannot be known.
const COLUMNS: usize = 80;

/// Prints a result. A reader that leaves early is no error.
///
/// # Errors
/// `print` failed, or stdout cannot be written.
pub fn result(print: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    let printed = print(&mut stdout).and_then(|()| Ok(stdout.flush()?));
    match printed {
        Err(error) if has_left(&error) => {
            // Flushing the rest would fail once more.
            drop(stdout.into_parts());
            Ok(())
        }
        other => other,
    }
}

/// True if `error` means that stdout has no reader any more.
#[must_use]
pub fn has_left(error: &anyhow::Error) -> bool {
    let is_broken_pipe = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(is_broken_pipe)
}

/// False if stdout is known to have no reader any more, without writing to it.
#[must_use]
pub fn is_read() -> bool {
    os::is_stdout_read(Duration::ZERO)
}

/// True if stdout may be coloured: it is a terminal with colours, and `NO_COLOR` is not set.
#[must_use]
pub fn in_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// The columns of the terminal on stdout, or 80.
#[must_use]
pub fn columns() -> usize {
    columns_of(Output::Stdout)
}

/// The columns of the terminal on stderr, or 80.
#[must_use]
pub fn error_columns() -> usize {
    columns_of(Output::Stderr)
}

/// The rows of the terminal on stdout, if it is one.
#[must_use]
pub fn rows() -> Option<usize> {
    os::terminal_size(Output::Stdout).map(|(_, rows)| rows).filter(|rows| *rows > 0)
}

fn columns_of(output: Output) -> usize {
    let columns = os::terminal_size(output).map(|(columns, _)| columns);
    columns.filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}
