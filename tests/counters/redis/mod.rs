//! Counters in Redis, at real servers that the tests start for themselves.

mod clock;
mod exact;
mod faults;
mod rows;
mod server;
mod urls;
mod wrappers;
