//! `callgate explain`: shows how a policy decides a call.

pub mod matrix;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::Error;
use super::input::state::state_of;
use super::input::{policy_file, server_command};
use super::show::{explanation, stdout};
use crate::cli::{ExplainArgs, Format, TypedState};
use crate::engine::decide::explain::{self, Explanation};
use crate::engine::decide::narrate;
use crate::engine::json::arguments::Arguments;
use crate::engine::limits::{CounterKey, MemoryLedger, Now, Scope};
use crate::engine::policy::{Mode, Policy};
use crate::engine::text::escape::{escape_json, escape_line};
use crate::engine::wire::discovery::Listed;
use crate::engine::wire::mcp::ToolCall;
use crate::shell::file;
use crate::shell::os::clock::moment;

/// Explains one call; ends with 1 if the call would not go out.
///
/// # Errors
/// The policy or the arguments cannot be read.
pub fn explain(args: &ExplainArgs) -> Result<(), Error> {
    let content = file::read(policy_file::POLICY, &args.policy)?;
    let policy = policy_file::load_untested(&args.policy, &content)?;
    if let Some(session) = &args.matrix {
        matrix::print(&policy, &tool_names(session.as_deref(), args)?, args.format)?;
        return Ok(());
    }
    let tool = args.tool.as_deref().unwrap_or_default();
    let (mut ledger, now) = ledger(args)?;
    let explanation = explain_call(args, tool, &policy, &mut ledger, now)?;
    stdout::result(|out| match args.format {
        Format::Text => show(out, tool, &explanation),
        Format::Json => show_json(out, tool, &explanation),
    })?;
    Error::unless(explanation.ruling.outcome.is_allowed())
}

/// The tools of a recorded session, or of the server whose command was typed.
fn tool_names(session: Option<&Path>, args: &ExplainArgs) -> Result<Vec<String>, Error> {
    match (session, args.command.as_slice()) {
        (Some(session), []) => Ok(matrix::tools_in(session)?),
        (None, []) => {
            Err(anyhow!("`--matrix` needs a recorded session, or `--` and a server's command")
                .into())
        }
        (Some(_), _) => {
            Err(anyhow!("`--matrix` takes a recorded session or a server's command, not both")
                .into())
        }
        (None, command) => {
            let Listed { tools, unfinished } = server_command::tools(command, args.timeout)?;
            if let Some(why) = unfinished {
                // stderr may have no reader.
                let _ = writeln!(io::stderr(), "warning: {}", escape_line(&why));
            }
            Ok(tools.names())
        }
    }
}

/// The counters to start from, and the time of the decision. The counters are at zero unless the arguments name others.
fn ledger(args: &ExplainArgs) -> anyhow::Result<(MemoryLedger, Now)> {
    let mut ledger = MemoryLedger::default();
    if args.state.is_none() && args.server.is_none() {
        return Ok((ledger, Now::default()));
    }
    let state = match &args.state {
        Some(state) => state.clone(),
        None => TypedState::of_environment().map_err(anyhow::Error::msg)?,
    };
    let mut now = moment();
    let rows = state_of(&state)?.counters(now)?;
    let servers: BTreeSet<String> = rows.iter().map(|row| row.server.clone()).collect();
    let server = server_of(args.server.as_deref(), &servers)?;
    for row in rows.into_iter().filter(|row| Some(&row.server) == server.as_ref()) {
        let is_meant = match row.scope {
            Scope::Grant => row.holder == args.grant,
            Scope::Server => true,
            // A new run starts with its own counters at zero.
            Scope::Session => false,
        };
        if is_meant {
            if row.is_damaged {
                let what = anyhow!("its stored value is damaged");
                return Err(what.context(format!("failed to read counter `{}`", row.name)));
            }
            // All counters share one time: the latest that any of them has seen.
            now.wall_ms = now.wall_ms.max(row.at_ms);
            let key = CounterKey { scope: row.scope, name: row.name.into(), window: row.window };
            ledger.adopt(&key, row.counter);
        }
    }
    Ok((ledger, now))
}

/// The server whose counters to use: the one that was typed, or the only one there is.
fn server_of(typed: Option<&str>, known: &BTreeSet<String>) -> anyhow::Result<Option<String>> {
    let all = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match typed {
        Some(typed) if known.is_empty() || known.contains(typed) => Ok(Some(typed.to_owned())),
        Some(typed) => Err(anyhow!(
            "no counters of server `{typed}` are kept; there are counters of {}",
            all()
        )),
        None if known.len() > 1 => Err(anyhow!(
            "counters of several servers are kept; say `--server` with one of {}",
            all()
        )),
        None => Ok(known.first().cloned()),
    }
}

/// Decides the call on the command line with these counters.
fn explain_call(
    args: &ExplainArgs,
    tool: &str,
    policy: &Policy,
    ledger: &mut MemoryLedger,
    now: Now,
) -> anyhow::Result<Explanation> {
    let arguments = Arguments::parse(&args.arguments).map_err(|error| {
        anyhow!("failed to read the arguments: {}, at byte {}", error.fault, error.at)
    })?;
    let call = ToolCall::of(tool, arguments);
    Ok(explain::explain(policy, &call, Mode::forced_by(args.shadow), ledger, now))
}

fn show(out: &mut dyn Write, tool: &str, explanation: &Explanation) -> anyhow::Result<()> {
    let Explanation { ruling, shadowed, .. } = explanation;
    writeln!(
        out,
        "`{}`: {} by {}",
        escape_line(tool),
        ruling.outcome,
        escape_line(ruling.rule.as_str())
    )?;
    if let Some(message) = &ruling.message {
        writeln!(out, "{}", escape_line(message))?;
    }
    if let Some(shadowed) = shadowed {
        let rule = escape_line(shadowed.rule.as_str());
        writeln!(out, "in shadow mode: {} by {rule}", shadowed.outcome)?;
    }
    writeln!(out)?;
    for line in narrate::lines(explanation) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn show_json(out: &mut dyn Write, tool: &str, explanation: &Explanation) -> anyhow::Result<()> {
    let mut json = json!({ "tool": tool });
    if let (Some(json), Value::Object(ruling)) =
        (json.as_object_mut(), explanation::ruling_json(&explanation.ruling))
    {
        json.extend(ruling);
        if let Some(shadowed) = &explanation.shadowed {
            json.insert("shadow".to_owned(), explanation::ruling_json(shadowed));
        }
        json.insert("trace".to_owned(), Value::Array(explanation::json(explanation)));
    }
    writeln!(out, "{}", escape_json(&json.to_string()))?;
    Ok(())
}
