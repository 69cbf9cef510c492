//! Counters in Redis, on real servers that the tests start.

mod clock;
mod exact;
mod faults;
mod rows;
mod server;
mod urls;
mod wrappers;
