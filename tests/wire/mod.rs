//! Frames and answers: which lines are forwarded, refused or answered.

mod answers;
mod cancellations;
mod client_frames;
mod denials;
pub(crate) mod ids;
mod lines;
mod list_changed;
mod methods;
mod retries;
mod server_frames;
pub(crate) mod sessions;
