//! Frames: how lines become messages, which requests wait, and what callgate writes itself.

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
