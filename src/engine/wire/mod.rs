//! Frames: how lines become messages, which requests are in flight, and the messages that callgate writes.

pub mod discovery;
pub mod frame;
pub mod in_flight;
pub mod input_requests;
pub mod line;
pub mod listing;
pub mod mcp;
pub mod message;
pub mod multi_round;
pub mod transcript;
