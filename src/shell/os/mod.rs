//! What the operating system gives: descriptors, signals, processes, clocks. The only place that knows the platform.

pub mod clock;
pub mod descriptor;
pub mod privacy;
pub mod retry;
pub mod stopped;
