//! Policies of Intercept, in YAML, as policies of callgate: text in, text out.

pub mod document;
pub mod draft;
pub mod fields;
pub mod path;
pub mod pattern;
pub mod problems;
pub mod scalar;
pub mod translate;
pub mod yaml;
