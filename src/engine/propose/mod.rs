//! Proposes policies: classifies a server's tools, proposes rules for them, and compares a policy with them.

pub mod class;
pub mod classify;
pub mod extend;
mod lexicon;
pub mod listed_tool;
pub mod matrix;
pub mod proposal;
pub mod usage;
