//! Values that are typed in a form of their own.

use std::time::Duration;

/// Frames are indexed with 32 bits.
const LARGEST_FRAME: u64 = 2 * 1024 * 1024 * 1024;

/// Less than this would hold a few hundred calls.
const SMALLEST_LOG: u64 = 64 * 1024;
/// More than this is a mistake.
const LARGEST_LOG: u64 = 1024 * 1024 * 1024 * 1024;

/// A year; longer is a mistake.
const LONGEST_DRAIN: f64 = 366.0 * 86_400.0;

/// A time in seconds, from 0 to a year.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=LONGEST_DRAIN).contains(&seconds) {
        return Err("a time is from 0 seconds to a year".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A size in memory: in bytes, or in KiB, MiB or GiB.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let in_range = |size: &u64| (1..=LARGEST_FRAME).contains(size);
    bytes(text)?
        .filter(in_range)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "a size is from 1 byte to 2 GiB".to_owned())
}

/// A size on disk, written in the same way.
pub(super) fn parse_large_size(text: &str) -> Result<u64, String> {
    let in_range = |size: &u64| (SMALLEST_LOG..=LARGEST_LOG).contains(size);
    bytes(text)?.filter(in_range).ok_or_else(|| "a log is kept from 64 KiB to 1024 GiB".to_owned())
}

/// A number of bytes; `None` if it is beyond all bounds.
fn bytes(text: &str) -> Result<Option<u64>, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "B" => 1,
        "K" | "KiB" => 1024,
        "M" | "MiB" => 1024 * 1024,
        "G" | "GiB" => 1024 * 1024 * 1024,
        _ => return Err("the unit is one of KiB, MiB, GiB".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a whole number".to_owned())?;
    Ok(number.checked_mul(unit))
}
