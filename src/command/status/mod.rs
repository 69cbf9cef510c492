//! `callgate status`: show sessions, counters and recent denials; reset counters.

mod overview;
mod reset;
mod tally;
mod text;
mod watch;

use crate::cli::{Format, StatusArgs, StatusVerb, ViewArgs};
use crate::engine::text::escape::escape_json;

use super::Error;
use super::show::stdout;

use self::overview::{Overview, StateView};

/// Shows the state, or resets a counter.
///
/// # Errors
/// No state directory is known, or stdout cannot be written. What cannot be read of the state is shown as a problem, and
/// makes the command incomplete.
pub fn status(args: &StatusArgs) -> Result<(), Error> {
    match &args.verb {
        Some(StatusVerb::Reset(args)) => reset::reset(args),
        None if args.view.watch => watch::watch(&args.view),
        None => show(&args.view),
    }
}

fn show(args: &ViewArgs) -> Result<(), Error> {
    let overview = StateView::new(&args.whose)?.look();
    stdout::result(|out| match args.whose.format {
        Format::Json => Ok(writeln!(out, "{}", json(&overview)?)?),
        Format::Text => {
            let in_colour = stdout::in_colour();
            let lines = text::lines(&overview, stdout::columns());
            lines.iter().try_for_each(|line| Ok(writeln!(out, "{}", line.show(in_colour, None))?))
        }
    })?;
    if overview.problems.is_empty() { Ok(()) } else { Err(Error::Incomplete) }
}

fn json(overview: &Overview) -> anyhow::Result<String> {
    Ok(escape_json(&serde_json::to_string(overview)?).into_owned())
}
