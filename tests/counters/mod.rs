//! Limits, and the stores that keep them.

#[cfg(target_os = "linux")]
mod clocks;
#[cfg(target_os = "linux")]
mod exact;
#[cfg(target_os = "linux")]
mod faults;
#[cfg(target_os = "linux")]
mod load;
mod redis;
mod status;
