//! `callgate scan`: what it makes of tools, and what it writes.

mod agreement;
pub(crate) mod classes;
pub(crate) mod policies;
mod updates;
