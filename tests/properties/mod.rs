//! What holds for any input, compared with a naive model: short, slow, and plainly right.

use proptest::prelude::ProptestConfig;

mod text;

mod decimals;
mod ledger;
mod limits;
mod policy;
mod wire;

/// So many cases of a property. A failure is shown whole; nothing is written to disk.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}
