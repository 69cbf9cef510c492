//! A run from start to end: processes, streams, signals, memory.

mod child;
mod command_line;
mod death;
mod descriptors;
mod drain;
mod lockstep;
pub(crate) mod memory;
mod piped;
#[cfg(not(debug_assertions))]
mod release;
mod stops;
#[cfg(target_os = "linux")]
mod terminal;
