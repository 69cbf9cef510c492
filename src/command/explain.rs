//! `callgate explain`: what a policy makes of a call, and why.

use std::io::Write;
use std::process::ExitCode;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::diagnostics::visible;
use super::{Failure, NO, matrix, policy_file, print, trace};
use crate::cli::{ExplainArgs, Format};
use crate::engine::explain::{self, Explanation};
use crate::engine::limits::{MemoryLedger, Now};
use crate::engine::mcp::ToolCall;
use crate::engine::path::Arguments;
use crate::engine::policy::{Mode, Policy};
use crate::engine::visible::escape_json;
use crate::shell::file;

/// Explains one call; ends with 1 if it would not go out.
///
/// # Errors
/// The policy or the arguments cannot be read.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let content = file::read(policy_file::POLICY, &args.policy)?;
    let policy = policy_file::load_untested(&args.policy, &content)?;
    if let Some(session) = &args.matrix {
        matrix::print(&policy, &matrix::tools_in(session)?, args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let tool = args.tool.as_deref().unwrap_or_default();
    let mut ledger = MemoryLedger::default();
    let explanation = explain_call(args, tool, &policy, &mut ledger, Now::default())?;
    print::result(|out| match args.format {
        Format::Text => show(out, tool, &explanation),
        Format::Json => show_json(out, tool, &explanation),
    })?;
    Ok(ExitCode::from(if explanation.ruling.is_allowed() { 0 } else { NO }))
}

/// Decides the call of the command line with these counters.
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
    writeln!(out, "`{}`: {} by {}", visible(tool), ruling.word(), visible(ruling.rule.as_str()))?;
    if let Some(message) = &ruling.message {
        writeln!(out, "{}", visible(message))?;
    }
    if let Some(shadowed) = shadowed {
        let rule = visible(shadowed.rule.as_str());
        writeln!(out, "in shadow mode: {} by {rule}", shadowed.word())?;
    }
    writeln!(out)?;
    for line in trace::lines(explanation) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn show_json(out: &mut dyn Write, tool: &str, explanation: &Explanation) -> anyhow::Result<()> {
    let mut json = json!({ "tool": tool });
    if let (Some(json), Value::Object(ruling)) =
        (json.as_object_mut(), trace::ruling_json(&explanation.ruling))
    {
        json.extend(ruling);
        if let Some(shadowed) = &explanation.shadowed {
            json.insert("shadow".to_owned(), trace::ruling_json(shadowed));
        }
        json.insert("trace".to_owned(), Value::Array(trace::json(explanation)));
    }
    writeln!(out, "{}", escape_json(&json.to_string()))?;
    Ok(())
}
