//! callgate from outside: what it decides, answers and forwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that meets the unexpected stops"
)]

mod audit;
mod cli;
mod console;
mod fuzzing;
mod live;
mod manual;
mod policy;
mod properties;
mod redis;
mod scan;
mod tidy;
