//! Counters in Redis, at real servers that the tests start for themselves.

mod server;

mod clock;
mod exact;
mod faults;
mod rows;
mod urls;
mod wrappers;
