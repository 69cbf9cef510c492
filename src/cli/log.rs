//! The arguments of `callgate log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::parse::{Since, parse_hash, parse_limit, parse_since};
use super::state::KEPT;
use super::{Format, StateArgs, place};

/// Options of `callgate log`.
#[derive(Debug, Args)]
#[command(
    about = "Show, follow and verify the audit log",
    long_about = "Show, follow and verify the audit log\n\nShow the newest lines of the audit logs, newest last, or those that the options choose.",
    override_usage = "callgate log [OPTIONS] [FILE]...\n       callgate log verify [OPTIONS] [FILE]...",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  callgate log --denied --since 1h\n  callgate log --tool 'delete_*' --format json"
)]
pub struct LogArgs {
    /// A verb, in place of showing the log.
    #[command(subcommand)]
    pub verb: Option<LogVerb>,

    /// Which lines to show.
    #[command(flatten)]
    pub query: QueryArgs,
}

/// The verbs of `callgate log`.
#[derive(Debug, Subcommand)]
pub enum LogVerb {
    /// Check that no line was changed, removed, inserted or moved
    Verify(VerifyArgs),
}

/// Which lines to show, and of which logs.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The logs: those of all servers in the state directory, or others.
    #[command(flatten)]
    pub logs: LogFiles,

    /// Only this server
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,

    /// Only this grant
    #[arg(long, value_name = "NAME")]
    pub grant: Option<String>,

    /// Only calls of this tool; `*` matches any characters, `?` one
    #[arg(long, value_name = "NAME")]
    pub tool: Option<String>,

    /// Only denied calls and methods, and refused lines
    #[arg(long)]
    pub denied: bool,

    /// Only since this time: `90s`, `30m`, `1h`, `7d` or `2w` ago, or a date or time such as `2026-11-23T10:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub since: Option<Since>,

    /// Only the newest N lines, or `all` [default: 50; with --since, all]
    #[arg(long, value_name = "N", value_parser = parse_limit)]
    pub limit: Option<u64>,

    /// Keep showing new lines, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

/// Options of `callgate log verify`.
#[derive(Debug, Args)]
#[command(
    about = "Check that no line was changed, removed, inserted or moved",
    after_help = "Example: callgate log verify --head \"$(cat noted-yesterday)\""
)]
pub struct VerifyArgs {
    /// The logs: those of all servers in the state directory, or others.
    #[command(flatten)]
    pub logs: LogFiles,

    /// A hash noted earlier: the line that has it must still be in the log
    #[arg(long, value_name = "HASH", value_parser = parse_hash)]
    pub head: Option<String>,
}

/// Which logs to read, and how to print them.
#[derive(Debug, Args)]
#[command(mut_arg("state", |arg| arg.help(KEPT)))]
pub struct LogFiles {
    /// The logs to read [default: all in the state directory]
    #[arg(value_name = "FILE", value_parser = place::file())]
    pub files: Vec<PathBuf>,

    /// A log to read, as given to `wrap`
    #[arg(long, value_name = "FILE", value_parser = place::path())]
    pub audit: Vec<PathBuf>,

    /// Where the logs are.
    #[command(flatten)]
    pub state: StateArgs,

    /// How to print the result
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

impl LogFiles {
    /// True if the arguments name logs, in place of those in the state directory.
    #[must_use]
    pub fn are_named(&self) -> bool {
        !self.files.is_empty() || !self.audit.is_empty()
    }
}
