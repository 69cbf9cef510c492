//! The signals that end a session (contract W9) or suspend it, and those that must not.

use std::io;

use super::os::{self, Signal};
use super::wakeup::{News, NewsSender};

/// Handles the signals from here on: each is sent on the channel. A signal that was ignored at the start stays ignored:
/// callgate was started by `nohup`, or in a script's background.
///
/// # Errors
/// The operating system refuses.
pub fn take_over(news: &NewsSender) -> io::Result<()> {
    let ignored = os::ignored_signals();
    let ends = [Signal::INT, Signal::TERM, Signal::HUP];
    for signal in ends {
        let number = u8::try_from(signal.as_raw()).unwrap_or_default();
        tell(signal, ignored, news, move || News::Signalled(number))?;
    }
    // Ctrl-Z waits until no lock is held that others need; it is obeyed by SIGSTOP then.
    tell(Signal::TSTP, ignored, news, || News::Suspended)?;
    // A file that may not grow any more is an error of its write, not the end of us.
    let _ = os::listen(Signal::XFSZ)?;
    Ok(())
}

/// Sends an event each time a signal arrives, unless the signal is ignored.
fn tell(
    signal: Signal,
    ignored: u64,
    news: &NewsSender,
    what: impl Fn() -> News + Send + 'static,
) -> io::Result<()> {
    let number = u32::try_from(signal.as_raw()).unwrap_or_default();
    if ignored >> number.saturating_sub(1) & 1 == 0 {
        let (mut signals, news) = (os::listen(signal)?, news.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() && news.send(what()).is_ok() {}
        });
    }
    Ok(())
}
