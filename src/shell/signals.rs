//! The signals that end a session (SPEC W9).

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use super::news::{News, NewsSender};

/// Takes the signals over, from here on: each becomes news. One that is ignored stays so: callgate was started by
/// `nohup`, or by a script in its background.
///
/// # Errors
/// The operating system refuses.
pub fn take_over(news: &NewsSender) -> io::Result<()> {
    let ignored = ignored();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let number = u8::try_from(kind.as_raw_value()).unwrap_or_default();
        if ignored >> number.saturating_sub(1) & 1 == 0 {
            let (mut signals, news) = (signal(kind)?, news.clone());
            tokio::spawn(async move {
                while signals.recv().await.is_some() && news.send(News::Signalled(number)).is_ok() {
                }
            });
        }
    }
    Ok(())
}

/// The signals that are ignored, one bit each, from 1 on. Where `/proc` does not tell, none is.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
