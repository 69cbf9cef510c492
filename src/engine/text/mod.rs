//! Text: names, patterns for names, and what is safe to show.

pub mod escape;
pub mod name;
pub mod shorten;
pub(crate) mod words;
