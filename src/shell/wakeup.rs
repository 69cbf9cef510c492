//! Rare events: signals, the server's exit, a changed policy. They come through one channel, so that a busy loop has
//! one thing to check beside its lines.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::exit::Exit;
use super::watch::{LoadedPolicy, PolicyFinding};

/// A rare event.
#[derive(Debug)]
pub enum News {
    /// callgate is told to stop, by the signal with this number.
    Signalled(u8),
    /// The server has exited.
    ServerExited(Exit),
    /// The policy's file was checked.
    PolicySeen(Box<PolicyFinding<LoadedPolicy>>),
    /// callgate is to suspend itself, as Ctrl-Z asks.
    Suspended,
}

/// The sender of the channel.
pub type NewsSender = UnboundedSender<News>;
/// The receiver of the channel, which gets events in order.
pub type NewsReceiver = UnboundedReceiver<News>;

/// Makes the channel.
#[must_use]
pub fn channel() -> (NewsSender, NewsReceiver) {
    unbounded_channel()
}
