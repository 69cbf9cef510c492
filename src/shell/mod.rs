//! The doors to the world, each one thin: descriptors, the child, the loop between them, notices.

pub mod counters;
pub mod os;
pub mod registry;
pub mod state_dir;
pub mod stderr;
pub mod wakeup;

pub mod grace;

pub mod relay;

pub mod signals;

pub mod audit;
pub mod digest;
pub mod exit;
pub mod file;
pub mod upstream;
pub mod watch;
