//! The program: parse, dispatch, report.

use std::io::Write as _;
use std::process::ExitCode;

use callgate::cli::{Cli, Command};
use callgate::command::wrap::wrap;
use clap::Parser as _;

/// An error and its causes on one line (SPEC C3). The operating system's own number helps nobody.
fn prose(error: &anyhow::Error) -> String {
    let causes = error.chain().map(|cause| {
        let text = cause.to_string();
        let number = text.rfind(" (os error ").filter(|_| cause.is::<std::io::Error>());
        number.and_then(|at| text.get(..at)).map_or_else(|| text.clone(), str::to_owned)
    });
    visible(&causes.collect::<Vec<_>>().join(": "))
}

/// User text is part of it: what a terminal could obey, or a person not see, is spelt out.
fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c != '\n' && c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    text.chars().fold(String::new(), |mut line, c| {
        if hidden(c) {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
        line
    })
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Wrap(args) => wrap(&args),
    };
    done.unwrap_or_else(|failure| {
        // Nobody reads stderr: the exit code has to say it.
        let _ = writeln!(std::io::stderr(), "error: {}", prose(&failure.error));
        ExitCode::from(failure.exit_code)
    })
}
