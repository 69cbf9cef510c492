//! How results are shown: on stdout, as text or JSON, in colour or without.

pub mod diagnostics;
pub mod explanation;
pub mod json_layout;
pub mod stdout;
