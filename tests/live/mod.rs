//! Live runs: the real binary over real pipes, before scripted servers and real ones.

pub(crate) mod gate;
mod process;
mod rows;
mod versions;
mod ways;

mod answers;
mod cancellations;
mod client_frames;
mod command_line;
mod death;
mod denials;
mod huge;
mod ids;
mod iteratools;
mod list_changed;
mod memory;
mod methods;
mod passes;
mod pressure;
mod real;
mod reload;
mod reload_effects;
mod reload_load;
mod retries;
mod server_frames;
mod sessions;
