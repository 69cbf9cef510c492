//! The pure part: bytes and the time in, values out. No files, processes, clocks or printing; see
//! [the architecture page](crate) for who may know whom.

pub mod session;

pub mod decide;
pub mod denial;
pub mod limits;
pub mod policy;

pub mod condition;
pub mod name;
pub mod one_of;
pub mod path;
pub mod pattern;
pub mod scalar;
pub mod undecidable;
pub mod work;

pub mod compile;
pub mod hints;
pub mod shape;
pub mod source;

mod contradiction;
pub mod example;
pub mod explain;
pub mod lint;
pub mod matrix;

pub mod class;
pub mod classify;
pub mod extend;
pub mod observed;
pub mod proposal;
mod words;

pub mod answer;
pub mod batch;
mod canonical;
pub mod excerpt;
pub mod id_finder;
pub mod in_flight;
pub mod inquiry;
pub mod listing;
pub mod mcp;
pub mod record;
pub mod recording;
pub mod retry;
pub mod step;
pub mod tool_list;

pub mod decimal;
pub mod frame;
pub mod json;
mod keys;
pub mod line;
pub mod outline;
mod scan;
pub mod value;
pub mod visible;
