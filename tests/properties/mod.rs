//! Properties of any input, compared with a naive model: short, slow and obviously correct.

use proptest::prelude::ProptestConfig;

mod text;

mod decimals;
mod ledger;
mod limits;
mod policy;
mod wire;

/// Runs this many cases of a property. A failure is printed in full; nothing is written to disk.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}
