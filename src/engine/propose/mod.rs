//! engine::propose

pub mod class;
pub mod classify;
pub mod extend;
mod lexicon;
pub mod matrix;
pub mod proposal;
pub mod usage;
