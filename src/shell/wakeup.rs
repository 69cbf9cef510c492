//! What can wake the loop beside lines: signals, the server's exit, a changed policy. All of it comes through one
//! channel, so that a loop which is busy with lines has one thing to look at beside them.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::exit::Exit;
use super::watch::{LoadedPolicy, WatchReport};

/// Something that wakes the loop.
#[derive(Debug)]
pub enum WakeupEvent {
    /// callgate is told to stop, by the signal with this number.
    Signalled(u8),
    /// callgate is told to suspend itself, as Ctrl-Z asks.
    Suspended,
    /// The server has exited.
    ServerExited(Exit),
    /// The watch has looked at the policy file.
    PolicyChecked(Box<WatchReport<LoadedPolicy>>),
}

/// Where events go in.
pub type WakeupSender = UnboundedSender<WakeupEvent>;
/// Where they come out, in order.
pub type WakeupReceiver = UnboundedReceiver<WakeupEvent>;

/// A channel for one session.
#[must_use]
pub fn channel() -> (WakeupSender, WakeupReceiver) {
    unbounded_channel()
}
