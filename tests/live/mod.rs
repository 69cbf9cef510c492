//! Live runs: the real binary over real pipes, before scripted servers and real ones.

pub(crate) mod gate;
pub(crate) mod process;
mod rows;
pub(crate) mod streams;
mod versions;
mod ways;

mod answers;
#[cfg(target_os = "linux")]
mod audit;
#[cfg(target_os = "linux")]
mod audit_log;
mod cancellations;
mod child;
mod client_frames;
mod clients;
mod command_line;
mod costly;
mod death;
mod denials;
mod descriptors;
mod drain;
mod evidence;
mod foreign_text;
mod huge;
mod ids;
mod iteratools;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod ledger_clocks;
#[cfg(target_os = "linux")]
mod ledger_faults;
#[cfg(target_os = "linux")]
mod ledger_load;
mod line_memory;
mod list_changed;
mod lockstep;
mod memory;
mod methods;
mod passes;
mod piped;
mod pressure;
mod probe;
mod real;
mod reload;
mod reload_effects;
mod reload_load;
mod replay;
mod retries;
mod scan;
mod server_frames;
mod sessions;
mod status;
mod stops;
#[cfg(target_os = "linux")]
mod terminal;
mod typed_paths;
