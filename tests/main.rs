//! callgate from outside: what it decides, answers and forwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test that meets the unexpected stops"
)]

mod audit;
mod authoring;
mod cli;
mod clients;
mod counters;
mod fuzzing;
mod harness;
mod lifecycle;
mod manual;
mod policy;
mod properties;
mod reload;
mod tidy;
mod wire;
