//! The pure part: bytes and the time in, values out. No files, processes, clocks or printing; see
//! [the architecture page](crate) for who may know whom.

pub mod intercept;

pub mod json;
pub mod propose;
pub mod text;
pub mod wire;

pub mod session;

pub mod decide;
pub mod limits;
pub mod outcome;
pub mod policy;

pub mod interrupt;
pub mod work;

pub mod compile;
