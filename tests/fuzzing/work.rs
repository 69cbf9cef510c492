//! A policy and a call: the steps that a decision counts stay within the budget, and bound its actual time
//! (contract 3.5).

use std::str;
use std::time::Duration;

use callgate::engine::compile::compile;
use callgate::engine::decide::decide_observed;
use callgate::engine::json::arguments::Arguments;
use callgate::engine::policy::BuiltIn;
use callgate::engine::wire::mcp::ToolCall;
use callgate::engine::work::Work;
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

/// The longest arguments made from an input, in bytes.
const MAX_BYTES: usize = 512 * 1024;

/// The time of a step: a nanosecond on a slow machine, and several times that without optimisation.
const STEP: Duration = Duration::from_nanos(if cfg!(debug_assertions) { 400 } else { 4 });

/// The time of work done once for each policy, such as building the states of its patterns.
const ONCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2000 } else { 100 });

/// An input is a byte that says how often the arguments are repeated, a policy, a line feed, and arguments.
pub(crate) fn check(input: &[u8]) {
    let Some((&times, rest)) = input.split_first() else { return };
    let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else { return };
    let (file, behind) = rest.split_at(end);
    let (Ok(policy), Ok(arguments)) = (compile(file), str::from_utf8(&behind[1..])) else { return };
    let Ok(document) = serde_json::from_slice::<Value>(file) else { return };
    let tools = document.get("tools").and_then(Value::as_object);
    let tool = tools.and_then(|tools| tools.keys().next()).map_or("x", String::as_str);
    let tool = tool.replace(['*', '?'], "x");
    if Arguments::parse(arguments).is_err() {
        return;
    }
    let many = many(arguments, times);
    for arguments in [arguments, &many] {
        // Repeated arguments may be too deep, or have duplicate keys.
        let Ok(arguments) = Arguments::parse(arguments) else { continue };
        let call = ToolCall::of(&tool, arguments);
        let mut work = Work::of_decision();
        let before = cpu_time();
        let decided = decide_observed(&policy, &call, None, &mut work, &mut ());
        let time = cpu_time().saturating_sub(before);
        assert!(work.spent() <= Work::DECISION);
        let bound = ONCE + STEP * u32::try_from(work.spent()).expect("a budget of 32 bits");
        assert!(time <= bound, "{} steps took {time:?}", work.spent());
        if let Err(denial) = decided {
            let is_costly = denial.rule == BuiltIn::TooCostly;
            assert!(!is_costly || work.left() == 0, "denied with {} steps left", work.left());
        }
    }
}

/// The arguments with each of their values repeated: a string within itself, any other value in a list.
fn many(arguments: &str, times: u8) -> String {
    let arguments = Arguments::parse(arguments).expect("they were read");
    let members = arguments.members().map(|member| {
        let (key, value) = (member.key.raw(), member.value.text());
        let most = MAX_BYTES / 4 / (value.len() + 1);
        let times = (1_usize << (times % 20)).min(most).max(1);
        if let Some(text) = member.value.as_str() {
            return format!("\"{key}\":\"{}\"", text.raw().repeat(times));
        }
        format!("\"{key}\":[{}]", vec![value; times].join(","))
    });
    format!("{{{}}}", members.take(4).collect::<Vec<_>>().join(","))
}

/// The CPU time of this thread, which other load on the machine does not affect.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
