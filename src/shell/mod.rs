//! Everything outside the engine: the platform, the server's process, the loop between client and server, the stores and
//! logs.

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
