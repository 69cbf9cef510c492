//! A policy that changes while callgate runs.

mod costly;
mod effects;
mod load;
mod swap;
