//! What a policy might say of a server's tools: their classes, proposals, and a policy beside them.

pub mod class;
pub mod classify;
pub mod extend;
mod lexicon;
pub mod listed_tool;
pub mod matrix;
pub mod proposal;
pub mod usage;
