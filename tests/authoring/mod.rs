//! `callgate scan`: how it classifies tools, and the policies it writes.

mod agreement;
pub(crate) mod classes;
mod foreign_text;
pub(crate) mod policies;
mod probe;
mod replay;
mod scan;
mod typed_paths;
mod updates;
