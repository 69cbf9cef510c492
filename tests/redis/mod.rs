//! Counters in Redis, at real servers that the tests start for themselves.

mod server;

mod exact;
mod faults;
mod rows;
mod urls;
mod wrappers;
