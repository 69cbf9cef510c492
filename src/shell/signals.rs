//! Signals that end a session (contract W9), suspend it, or must do neither.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::os::{self, Signal};
use super::wakeup::{WakeupEvent, WakeupSender};

/// The signals that end a session.
const ENDS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Makes an event of each signal from here on. A signal that is ignored stays so: callgate was started by `nohup`, or in
/// the background of a script.
///
/// # Errors
/// The operating system refuses.
pub fn take_over(wakeups: &WakeupSender) -> io::Result<()> {
    let ignored = os::ignored_signals();
    for signal in ENDS {
        let number = u8::try_from(signal.as_raw()).unwrap_or_default();
        forward(signal, ignored, wakeups, move || WakeupEvent::Signalled(number))?;
    }
    // Ctrl-Z waits until callgate holds no lock that others need; then callgate stops itself by SIGSTOP.
    forward(Signal::TSTP, ignored, wakeups, || WakeupEvent::Suspended)?;
    // A file that may not grow any more fails its write; it does not end callgate.
    let _ = os::listen(Signal::XFSZ)?;
    Ok(())
}

/// Has each signal that ends the session raise this flag at once, even while the loop is busy with a long line.
///
/// # Errors
/// The operating system refuses.
pub fn raise(flag: &Arc<AtomicBool>) -> io::Result<()> {
    let ignored = os::ignored_signals();
    for signal in ENDS.into_iter().filter(|signal| !is_among(ignored, *signal)) {
        os::raise_at(signal, flag)?;
    }
    Ok(())
}

fn is_among(ignored: u64, signal: Signal) -> bool {
    let number = u32::try_from(signal.as_raw()).unwrap_or_default();
    ignored >> number.saturating_sub(1) & 1 == 1
}

/// Makes an event of a signal each time it comes, unless it is among the `ignored`.
fn forward(
    signal: Signal,
    ignored: u64,
    wakeups: &WakeupSender,
    what: impl Fn() -> WakeupEvent + Send + 'static,
) -> io::Result<()> {
    if !is_among(ignored, signal) {
        let (mut signals, wakeups) = (os::listen(signal)?, wakeups.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() && wakeups.send(what()).is_ok() {}
        });
    }
    Ok(())
}
