//! The arguments of `callgate help`.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Args, Command, Error, ValueEnum};

use crate::manual;

/// Options of `callgate help`.
#[derive(Debug, Args)]
#[command(
    about = "Show the manual",
    long_about = "Show the manual\n\nShow a page of the manual, or the list of pages. On a terminal, the page goes through the pager that PAGER names, or `less`.",
    override_usage = "callgate help [OPTIONS] [TOPIC]",
    after_help = "Examples:\n  callgate help\n  callgate help limits\n  callgate help wrap --format markdown"
)]
pub struct HelpArgs {
    /// The page to show; every verb is a topic [default: the list of pages]
    #[arg(value_name = "TOPIC", value_parser = TopicParser, hide_possible_values = true)]
    pub topic: Option<String>,

    /// How to print the page
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: PageFormat,
}

/// Values of `callgate help --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PageFormat {
    /// Laid out for the terminal
    #[default]
    Text,
    /// The page's source
    Markdown,
    /// A man page (roff)
    Man,
}

/// Accepts any word, and offers the topics to shells. The command itself reports a wrong topic.
#[derive(Debug, Clone)]
struct TopicParser;

impl TypedValueParser for TopicParser {
    type Value = String;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        StringValueParser::new().parse_ref(cmd, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            manual::pages().map(|page| PossibleValue::new(page.topic).help(page.summary)),
        ))
    }
}
