//! JSON: a strict reader, views of values, exact decimals, and the arguments of a call.

pub mod arguments;
pub mod canonical;
pub mod decimal;
mod keys;
pub mod outline;
pub mod reader;
pub(in crate::engine) mod token;
pub mod undecidable;
pub mod value;
