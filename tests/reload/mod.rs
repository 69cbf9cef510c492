//! A policy that changes while the gate runs.

mod costly;
mod effects;
mod load;
mod swap;
