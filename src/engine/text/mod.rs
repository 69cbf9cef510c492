//! engine::text

pub mod escape;
pub mod name;
