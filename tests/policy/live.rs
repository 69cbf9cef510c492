//! The same cases with the binary, if the wall clock allows: those in which no time passes.

use serde_json::{Value, json};

use super::case::{Call, Case, Expect, read_all};
use crate::harness::gate::Wrap;

#[test]
fn the_binary_decides_as_the_engine_does() {
    let cases = read_all::<Case>("cases");
    let timeless: Vec<_> = cases.iter().filter(|(_, case)| is_timeless(case)).collect();
    assert!(timeless.len() >= 200, "only {} cases found", timeless.len());
    let halves: Vec<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = timeless
            .chunks(timeless.len().div_ceil(4))
            .map(|chunk| {
                scope.spawn(move || -> Vec<String> {
                    let check = |(name, case): &&(String, Case)| {
                        run(case).err().map(|error| format!("{name} {}: {error}", case.why))
                    };
                    chunk.iter().filter_map(check).collect()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    assert!(halves.is_empty(), "{} failed:\n{}", halves.len(), halves.join("\n"));
}

/// True if all calls of the case happen at one time, and there are few.
fn is_timeless(case: &Case) -> bool {
    let calls: u32 = case.calls.iter().map(|call| call.times).sum();
    let at_once = case.calls.iter().all(|call| call.at == case.calls[0].at);
    at_once && calls <= 300 && !case.policy.get().contains("\"window\": 1,")
}

fn run(case: &Case) -> Result<(), String> {
    let mut wrap = Wrap::new(&case.policy);
    if case.shadow {
        wrap = wrap.option(["--shadow"]);
    }
    let gate = wrap.serve(&json!(["echo"]));
    let mut id = 0;
    let mut forwarded = Vec::new();
    for (nth, call) in case.calls.iter().enumerate() {
        for _ in 0..call.times {
            id += 1;
            let line = call.line(id);
            gate.send(&line);
            let answer = gate.try_recv().map_err(|error| format!("call {nth}: {error}"))?;
            check(call, id, &answer).map_err(|error| format!("call {nth}: {error} in {answer}"))?;
            if call.expect == Expect::Allow {
                forwarded.push(line);
            }
        }
    }
    let received = gate.received();
    if received == forwarded { Ok(()) } else { Err(format!("the server received {received:?}")) }
}

fn check(call: &Call, id: usize, answer: &str) -> Result<(), String> {
    let answer: Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    let result = &answer["result"];
    let decision = &result["_meta"]["callgate/decision"];
    let text = result["content"][0]["text"].as_str().unwrap_or_default();
    let mark = match call.expect {
        Expect::Allow => "ok",
        Expect::Deny | Expect::Hide => "[POLICY DENIED] ",
        Expect::Ask => "[APPROVAL REQUIRED] ",
    };
    let rest = text.strip_prefix(mark).ok_or("another outcome")?;
    let decided = call.expect != Expect::Allow;
    if answer["id"] != id || (result["isError"] == true) != decided {
        return Err("another id or kind".to_owned());
    }
    match &call.rule {
        Some(rule) if decided && decision["rule"] != rule.as_str() => {
            return Err(format!("the rule should be {rule}"));
        }
        _ => {}
    }
    // The time until a retry depends on the clock.
    match &call.message {
        Some(message) if decided && !message.contains("Try again in") && rest != message => {
            Err(format!("the message should be {message}"))
        }
        _ => Ok(()),
    }
}
