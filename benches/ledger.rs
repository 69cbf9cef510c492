//! The cost of one reservation in the ledger on disk, and in the one in memory.
//!
//! `cargo bench --bench ledger`

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark that meets the unexpected stops"
)]

use std::future::poll_fn;
use std::hint::black_box;
use std::time::Instant;

use callgate::engine::limits::{Amount, CounterKey, Demand, MemoryLedger, Scope, Window};
use callgate::shell::counters::Counters;
use callgate::shell::counters::sqlite::SqliteLedger;
use callgate::shell::os::clock::moment;
use criterion::{Criterion, criterion_group, criterion_main};

/// Demands of one call on this many counters, which never run out.
fn demands(counters: u32) -> Vec<Demand> {
    let demand = |nth: u32| Demand {
        counter: CounterKey {
            scope: Scope::Grant,
            name: format!("counter_{nth}").into(),
            window: Window::Sliding(if nth == 0 { 60 } else { 86_400 }),
        },
        cost: Amount::ONE,
        max: Amount::from_nanos(10_u128.pow(24)).expect("an amount"),
        enforced: true,
    };
    (0..counters).map(demand).collect()
}

fn reservations(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut group = criterion.benchmark_group("reservation");
    let directory = tempfile::tempdir().expect("a directory");
    for (counters, kept) in [(1, "memory"), (1, "disk"), (2, "memory"), (2, "disk"), (5, "disk")] {
        let demands = demands(counters);
        let mut ledger: Box<dyn Counters> = match kept {
            "memory" => Box::new(MemoryLedger::default()),
            _ => Box::new(SqliteLedger::new(directory.path(), "bench", "default", "run")),
        };
        group.bench_function(format!("{counters} in {kept}"), |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let begun = Instant::now();
                    for _ in 0..times {
                        let now = moment();
                        let reserved =
                            poll_fn(|cx| ledger.poll_reserve(cx, black_box(&demands), now)).await;
                        black_box(reserved.expect("a reservation"));
                    }
                    begun.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reservations);
criterion_main!(benches);
