//! The doors to the world, each one thin: descriptors, the child, the loop between them, notices.

pub mod relay;

mod lanes;
pub mod news;
pub mod signals;

pub mod audit;
pub mod books;
pub mod clock;
pub mod descriptor;
pub mod file;
pub mod ledger;
pub mod notices;
pub mod privacy;
pub mod probe;
pub mod record;
mod retry;
pub mod sessions;
mod stopped;
pub mod upstream;
pub mod watch;
