//! What one decision costs: a frame in, an action out, one limit, the in-memory ledger.
//!
//! `cargo bench --bench decide`

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a benchmark that meets the unexpected stops"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate::engine::compile::compile;
use callgate::engine::limits::{Ledger, MemoryLedger, Now};
use callgate::engine::line::Side;
use callgate::engine::session::{Action, Session, Settings};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Calls that are timed together; their answers settle them untimed.
const BATCH: usize = 64;
const BATCH_CALLS: u32 = 64;

/// Of at least so many batches the fastest counts: it tells what the code costs, not what else the machine does.
const MIN_BATCHES: u32 = 50;

const NOW: Now = Now { wall_ms: 1_790_000_000_000, monotonic_ms: 0 };

/// A session with its ledger, as the shell drives it.
struct Engine {
    session: Session,
    ledger: MemoryLedger,
}

impl Engine {
    fn new(policy: &str) -> Self {
        let policy = compile(policy.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"));
        let session = Session::new(Arc::new(policy), Settings::default());
        Engine { session, ledger: MemoryLedger::default() }
    }

    fn decide(&mut self, line: &str) -> Action {
        let step = self.session.handle(Side::Client, line.as_bytes(), NOW);
        match step.action {
            Action::Reserve(pending) => {
                let settled = self.ledger.reserve(pending.demands(), NOW);
                self.session.resume(line.as_bytes(), *pending, settled, NOW).action
            }
            action => action,
        }
    }

    /// Times a batch of calls, after checking that each is decided as `forwarded` says.
    fn time(&mut self, calls: &[String], answers: &[String], forwarded: bool) -> Duration {
        let begun = Instant::now();
        for line in calls {
            let action = self.decide(black_box(line));
            assert_eq!(matches!(action, Action::Forward), forwarded, "{action:?}");
        }
        let spent = begun.elapsed();
        for line in answers.iter().filter(|_| forwarded) {
            let step = self.session.handle(Side::Server, line.as_bytes(), NOW);
            assert!(matches!(step.action, Action::Forward));
        }
        spent
    }
}

/// A policy of so many tools; the one that is called comes last, with these conditions and one limit of `max`.
fn policy(tools: usize, conditions: &str, max: &str) -> String {
    let mut policy = r#"{"version":"1","default":"deny","tools":{"#.to_owned();
    for nth in 1..tools {
        write!(
            policy,
            r#""tool_{nth}":{{"limits":[{{"counter":"c{nth}","window":"minute","max":30}}]}},"#
        )
        .expect("a string takes it");
    }
    let limit = format!(r#"{{"counter":"image_rate","window":"minute","max":{max}}}"#);
    write!(policy, r#""image_generate":{{{conditions}"limits":[{limit}]}}}}}}"#)
        .expect("a string takes it");
    policy
}

/// A call of exactly 245 bytes.
fn call(id: usize, width: u32) -> String {
    let fixed = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"image_generate","arguments":{{"prompt":"","width":{width},"height":1024}}}}}}"#
    );
    let prompt =
        "a lighthouse at dusk ".repeat(10).chars().take(245 - fixed.len()).collect::<String>();
    let line = fixed.replace(r#""prompt":"""#, &format!(r#""prompt":"{prompt}""#));
    assert_eq!(line.len(), 245);
    line
}

fn decisions(criterion: &mut Criterion) {
    let ids = 10_000..10_000 + BATCH;
    let answers: Vec<String> =
        ids.clone().map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)).collect();
    let mut group = criterion.benchmark_group("decision of a 245-byte call");
    let bounds = concat!(
        r#""deny_if":[{"conditions":[{"path":"args.width","op":"gt","value":2048}]},"#,
        r#"{"conditions":[{"path":"args.height","op":"gt","value":2048}]}],"#
    );
    let rows = [
        ("allowed, 1 tool", 1, "", "1e15", 1024, true),
        ("allowed, 10000 tools", 10_000, "", "1e15", 1024, true),
        ("allowed, with two conditions", 1, bounds, "1e15", 1024, true),
        ("denied by a condition", 1, bounds, "1e15", 4096, false),
        ("denied by a limit", 1, "", "0", 1024, false),
    ];
    for (name, tools, conditions, max, width, forwarded) in rows {
        let mut engine = Engine::new(&policy(tools, conditions, max));
        let calls: Vec<String> = ids.clone().map(|id| call(id, width)).collect();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let iterations = u32::try_from(iterations).unwrap_or(u32::MAX);
                let batches = iterations.div_ceil(BATCH_CALLS).max(MIN_BATCHES);
                let fastest = (0..batches).map(|_| engine.time(&calls, &answers, forwarded)).min();
                fastest.unwrap_or_default() / BATCH_CALLS * iterations
            });
        });
    }
    group.finish();
}

/// Large frames: bytes that are read a second.
fn large_frames(criterion: &mut Criterion) {
    const BYTES: usize = 1024 * 1024;
    let text = format!(r#""{}""#, "x".repeat(BYTES));
    let object = |id| {
        format!(
            r#"{{"id":{id:>6},"name":"item {id:06}","price":12.50,"tags":["red","green"],"ok":true,"note":"abcdefgh"}}"#
        )
    };
    let objects = (0..BYTES / 100).map(object).collect::<Vec<_>>().join(",");
    let objects = format!("[{objects}]");
    let text_condition =
        r#""deny_if":[{"conditions":[{"path":"args.value","op":"eq","value":"x"}]}],"#;
    let object_condition =
        r#""deny_if":[{"conditions":[{"path":"args.value[*].price","op":"gt","value":100}]}],"#;
    let mut group = criterion.benchmark_group("a message of 1 MiB");
    for (shape, value, condition) in [
        ("one string", &text, text_condition),
        ("objects of 100 bytes", &objects, object_condition),
    ] {
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"image_generate","arguments":{{"value":{value}}}}}}}"#
        );
        let small = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned();
        group.throughput(Throughput::Bytes(call.len() as u64));
        for (what, conditions) in [("arguments", ""), ("arguments under a condition", condition)] {
            let mut engine = Engine::new(&policy(1, conditions, "1e15"));
            let (calls, answers) = ([call.clone()], [small.clone()]);
            group.bench_function(format!("{what}, {shape}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    (0..iterations).map(|_| engine.time(&calls, &answers, true)).sum()
                });
            });
        }
        let ask =
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"image_generate"}}"#;
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[],"structuredContent":{value}}}}}"#
        );
        let mut engine = Engine::new(&policy(1, "", "1e15"));
        group.bench_function(format!("result, {shape}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let one = |_| {
                    assert!(matches!(engine.decide(ask), Action::Forward));
                    let begun = Instant::now();
                    let step =
                        engine.session.handle(Side::Server, black_box(&answer).as_bytes(), NOW);
                    assert!(matches!(step.action, Action::Forward));
                    begun.elapsed()
                };
                (0..iterations).map(one).sum()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = decisions, large_frames
}
criterion_main!(benches);
