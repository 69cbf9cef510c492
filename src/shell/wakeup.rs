//! What happens seldom: signals, the server's exit, another policy. All of it comes through one channel, so that a
//! loop which is busy with lines has one thing to look at beside them.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::exit::Exit;
use super::watch::{LoadedPolicy, PolicyFinding};

/// Something that happens seldom.
#[derive(Debug)]
pub enum News {
    /// callgate is told to stop, by the signal with this number.
    Signalled(u8),
    /// The server has exited.
    ServerExited(Exit),
    /// The policy's file was looked at.
    PolicySeen(Box<PolicyFinding<LoadedPolicy>>),
    /// callgate is to stop for a while, as Ctrl-Z asks.
    Suspended,
}

/// Where news come from.
pub type NewsSender = UnboundedSender<News>;
/// Where they come out, in their order.
pub type NewsReceiver = UnboundedReceiver<News>;

/// The channel.
#[must_use]
pub fn channel() -> (NewsSender, NewsReceiver) {
    unbounded_channel()
}
