//! Translates policies of Intercept, in YAML, to policies of callgate.

pub mod document;
pub mod draft;
pub mod fields;
pub mod path;
pub mod pattern;
pub mod problems;
pub mod scalar;
pub mod translate;
pub mod yaml;
