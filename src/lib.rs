//! callgate
pub mod cli;
pub mod command;
pub mod engine;
pub mod shell;
