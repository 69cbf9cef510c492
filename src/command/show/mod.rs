//! Shows results on stdout, as text or JSON, with or without colour.

pub mod diagnostics;
pub mod explanation;
pub mod json_layout;
pub mod stdout;
