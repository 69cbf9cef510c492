//! Text: names, patterns for names, and what is safe to show.

pub mod escape;
pub mod name;
pub(crate) mod words;
