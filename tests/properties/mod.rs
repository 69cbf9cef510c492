//! What holds for any input, compared with a naive model: short, slow, and plainly right.

use proptest::prelude::ProptestConfig;

mod text;

mod answers;
mod conditions;
mod decimals;
mod forwarding;
mod frames;
mod import;
mod inquiry;
mod intercept;
mod keys;
mod ledger;
mod limits;
mod lists;
mod names;
mod schema;
mod stricter;

/// So many cases of a property. A failure is shown whole; nothing is written to disk.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}
