//! Live runs: the real binary over real pipes, with scripted and real servers.

pub(crate) mod console;
pub(crate) mod gate;
pub(crate) mod process;
pub(crate) mod rows;
pub(crate) mod streams;
pub(crate) mod versions;
pub(crate) mod ways;
