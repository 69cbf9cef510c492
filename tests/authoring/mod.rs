//! `callgate scan`: what it makes of tools, and what it writes.

mod agreement;
pub(crate) mod classes;
mod foreign_text;
pub(crate) mod policies;
mod probe;
mod replay;
mod scan;
mod typed_paths;
mod updates;
