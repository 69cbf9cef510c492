//! Parsers for values with a format of their own.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Frames are indexed with 32 bits.
const LARGEST_FRAME: u64 = 2 * 1024 * 1024 * 1024;

/// A smaller log would hold only a few hundred calls.
const SMALLEST_LOG: u64 = 64 * 1024;
/// More than this is a mistake.
const LARGEST_LOG: u64 = 1024 * 1024 * 1024 * 1024;

/// A year; longer is a mistake.
const LONGEST_DRAIN: f64 = 366.0 * 86_400.0;

/// Parses a time in seconds, from 0 to a year.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=LONGEST_DRAIN).contains(&seconds) {
        return Err("a time is from 0 seconds to a year".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Parses a size in memory: in bytes, or in KiB, MiB or GiB.
pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let in_range = |size: &u64| (1..=LARGEST_FRAME).contains(size);
    bytes(text)?
        .filter(in_range)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| "a size is from 1 byte to 2 GiB".to_owned())
}

/// Parses a size on disk, in the same format.
pub(super) fn parse_large_size(text: &str) -> Result<u64, String> {
    let in_range = |size: &u64| (SMALLEST_LOG..=LARGEST_LOG).contains(size);
    bytes(text)?.filter(in_range).ok_or_else(|| "a log is kept from 64 KiB to 1024 GiB".to_owned())
}

/// Parses a number of bytes; `None` if it overflows.
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

/// A time in the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// This long ago.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

/// Parses a time in the past: how long ago, or a date or time, in UTC unless it has a zone.
pub(super) fn parse_since(text: &str) -> Result<Since, String> {
    const NO_TIME: &str = "a time is `90s`, `30m`, `1h`, `7d`, `2w`, or such as `2026-11-23` or `2026-11-23T10:00:00Z`";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: Option<u64> = match text.strip_prefix(digits).unwrap_or_default() {
        "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        "w" => Some(7 * 86_400),
        _ => None,
    };
    if let (Some(unit), Ok(number)) = (unit, digits.parse::<u64>()) {
        let seconds = number.checked_mul(unit).ok_or_else(|| NO_TIME.to_owned())?;
        return Ok(Since::Ago(Duration::from_secs(seconds)));
    }
    let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    let at = text.parse::<Timestamp>().ok().or_else(|| Some(civil()?.timestamp()));
    at.map(Since::At).ok_or_else(|| NO_TIME.to_owned())
}

/// Parses a number of lines; `all` is more than there can be.
pub(super) fn parse_limit(text: &str) -> Result<u64, String> {
    if text == "all" {
        return Ok(u64::MAX);
    }
    text.parse().map_err(|_| "neither a number of lines nor `all`".to_owned())
}

/// Parses the hash of a line: SHA-256 in hexadecimal.
pub(super) fn parse_hash(text: &str) -> Result<String, String> {
    let hash = text.trim();
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| hash.to_owned()).ok_or_else(|| "a hash has 64 hexadecimal digits".to_owned())
}
