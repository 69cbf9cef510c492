//! Recorded sessions, line by line (contract S5): who sent what, and when.
//!
//! There are three forms. The first line of a file determines its form; callgate writes the first one:
//!
//! ```text
//! {"t":"2026-11-22T10:00:00.123Z","from":"client","text":"<the line>"}     or "base64", where it is not UTF-8
//! {"ts":"2026-11-22T10:00:00.123Z","dir":"client","msg":<the message>}     as other recorders write
//! {"jsonrpc":"2.0","id":1,"method":"tools/call", …}                        the client's own lines, without times
//! ```

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::frame;
use super::line::Side;
use crate::engine::json::reader::{self, KeyRule, Scratch};
use crate::engine::json::token::plain_run;

/// The longest line of a recording, in bytes: three times the default of `--max-frame` (contract S5).
pub const MAX_LINE: u64 = 3 * 64 * 1024 * 1024;

/// The form of the lines of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Entries with a time and a sender.
    Entries,
    /// Lines of a client, and nothing else.
    Plain,
}

/// A recorded line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The time in milliseconds since the epoch; plain lines have none.
    pub at_ms: Option<u64>,
    /// Who sent it.
    pub from: Side,
    /// The line, without its line end.
    pub line: Cow<'a, [u8]>,
}

/// Why a line is not an entry of its recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoEntry {
    /// The reason, as text for the user.
    pub reason: String,
}

impl fmt::Display for NoEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// Reads a recording from its first line to its last.
#[derive(Debug, Default)]
pub struct TranscriptReader {
    form: Option<Form>,
}

impl TranscriptReader {
    /// The form of the recording; `None` before the first line.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        self.form
    }

    /// Reads the next line, passed without its line end. A blank line has no entry.
    ///
    /// # Errors
    /// The line does not have the form of the lines before it. In a plain recording every line is the client's,
    /// whatever it holds.
    pub fn read<'a>(&mut self, line: &'a [u8]) -> Result<Option<Entry<'a>>, NoEntry> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let plain = Entry { at_ms: None, from: Side::Client, line: Cow::Borrowed(line) };
        if self.form == Some(Form::Plain) {
            return Ok(Some(plain));
        }
        let written = serde_json::from_slice::<Written<'_>>(line);
        match (written, self.form) {
            (Ok(written), _) if written.is_entry() => {
                self.form = Some(Form::Entries);
                written.entry().map(Some)
            }
            (_, None) => {
                self.form = Some(Form::Plain);
                Ok(Some(plain))
            }
            (Ok(_), _) => Err(no_entry("it has no sender or no text")),
            (Err(error), _) => Err(no_entry(format!("not a line of a recording: {error}"))),
        }
    }
}

/// True if the line is a message, as opposed to one that `wrap` would refuse or send to stderr as unreadable.
#[must_use]
pub fn is_frame(entry: &Entry<'_>) -> bool {
    let mut scratch = Scratch::default();
    match entry.from {
        Side::Client => {
            let member =
                |reader: &mut reader::Reader<'_, '_>, _| reader.value(KeyRule::Unique).map(drop);
            frame::read_client(&entry.line, &mut scratch, member).is_ok()
        }
        Side::Server => {
            let member =
                |_, reader: &mut reader::Reader<'_, '_>, _| reader.value(KeyRule::Any).map(drop);
            frame::read_server(&entry.line, &mut scratch, member).is_ok()
        }
    }
}

/// Writes an entry: one line, with its line end.
#[must_use]
pub fn write(at_ms: u64, from: Side, line: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(line.len().saturating_add(128));
    write_in_pieces(at_ms, from, line, |piece| bytes.extend_from_slice(piece));
    bytes
}

/// Passes the entry to `show` piece by piece: it may be six times as long as its line (contract W8).
pub fn write_in_pieces(at_ms: u64, from: Side, line: &[u8], mut show: impl FnMut(&[u8])) {
    /// A multiple of three bytes, which base64 encodes in four characters.
    const PIECE: usize = 12 * 1024;
    show(format!(r#"{{"t":"{}","from":"{from}","#, time(at_ms)).as_bytes());
    if let Ok(text) = str::from_utf8(line) {
        show(br#""text":""#);
        let mut escaped = Vec::with_capacity(7 * PIECE);
        for piece in text.as_bytes().chunks(PIECE) {
            push_escaped(&mut escaped, piece);
            show(&escaped);
            escaped.clear();
        }
    } else {
        show(br#""base64":""#);
        for piece in line.chunks(PIECE) {
            show(BASE64.encode(piece).as_bytes());
        }
    }
    show(b"\"}\n");
}

/// Appends part of a text as it is written between the quotes of a JSON string.
fn push_escaped(out: &mut Vec<u8>, piece: &[u8]) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let mut rest = piece;
    while let Some((&first, behind)) = rest.split_first() {
        let short = match first {
            b'"' | b'\\' => first,
            b'\x08' => b'b',
            b'\x0c' => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => {
                let high = if first < 0x10 { b'0' } else { b'1' };
                let low = HEX.get(usize::from(first % 16)).copied().unwrap_or_default();
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                rest = behind;
                continue;
            }
            _ => {
                let (plain, behind) = rest.split_at_checked(plain_run(rest)).unwrap_or((rest, b""));
                out.extend_from_slice(plain);
                rest = behind;
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
        rest = behind;
    }
}

/// A time as RFC 3339, in UTC, to the millisecond.
#[must_use]
pub fn time(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

/// An entry of either form, as written in a file.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, alias = "ts")]
    t: Option<&'a RawValue>,
    #[serde(borrow, alias = "dir")]
    from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    base64: Option<Cow<'a, str>>,
    #[serde(borrow)]
    msg: Option<&'a RawValue>,
}

impl<'a> Written<'a> {
    /// True if it has members that no JSON-RPC message has.
    fn is_entry(&self) -> bool {
        let has_line = self.text.is_some() || self.base64.is_some() || self.msg.is_some();
        self.from.is_some() && has_line
    }

    fn entry(self) -> Result<Entry<'a>, NoEntry> {
        let at_ms = self.t.ok_or_else(|| no_entry("it has no time"))?;
        let at_ms = Some(read_time(at_ms.get())?);
        let from = sender(&self.from.unwrap_or_default())?;
        let line = match (self.text, self.base64, self.msg) {
            (Some(text), None, None) => bytes_of(text),
            (None, Some(base64), None) => {
                let bytes = BASE64.decode(base64.as_bytes());
                Cow::Owned(bytes.map_err(|error| no_entry(format!("not base64: {error}")))?)
            }
            (None, None, Some(msg)) => message(msg.get()),
            _ => return Err(no_entry("it holds more than one line")),
        };
        Ok(Entry { at_ms, from, line })
    }
}

/// The bytes of a message, which an entry holds as JSON or as a string.
fn message(json: &str) -> Cow<'_, [u8]> {
    match serde_json::from_str::<Cow<'_, str>>(json) {
        Ok(text) => Cow::Owned(text.into_owned().into_bytes()),
        Err(_) => Cow::Borrowed(json.as_bytes()),
    }
}

fn bytes_of(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The sender in this direction. Words that clients and servers understand differently are not accepted.
fn sender(direction: &str) -> Result<Side, NoEntry> {
    let same = |word: &&str| word.eq_ignore_ascii_case(direction);
    let from_client = ["client", "c2s", "client->server", "client_to_server", "client-to-server"];
    let from_server = ["server", "s2c", "server->client", "server_to_client", "server-to-client"];
    if from_client.iter().any(&same) {
        return Ok(Side::Client);
    }
    if from_server.iter().any(&same) {
        return Ok(Side::Server);
    }
    let direction: String = direction.chars().take(40).collect();
    Err(no_entry(format!("`{direction}` is neither `client` nor `server`")))
}

/// Milliseconds since the epoch, from an RFC 3339 time or a number of seconds or milliseconds.
fn read_time(json: &str) -> Result<u64, NoEntry> {
    /// Counts of seconds stay below this until the year 5138; counts of milliseconds have been above it since 1973.
    const SECONDS_BELOW: f64 = 1e11;
    let no_time = || {
        let shown: String = json.chars().take(40).collect();
        no_entry(format!("`{shown}` is no time since 1970"))
    };
    if let Ok(text) = serde_json::from_str::<Cow<'_, str>>(json) {
        let time: Timestamp = text.parse().map_err(|_| no_time())?;
        return u64::try_from(time.as_millisecond()).map_err(|_| no_time());
    }
    let number: f64 = serde_json::from_str(json).map_err(|_| no_time())?;
    let ms = if number < SECONDS_BELOW { number * 1000.0 } else { number };
    if !(0.0..1e15).contains(&ms) {
        return Err(no_time());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in range, and no fraction of a millisecond is wanted"
    )]
    Ok(ms.round() as u64)
}

fn no_entry(reason: impl Into<String>) -> NoEntry {
    NoEntry { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::{Form, Side, TranscriptReader, write};

    fn read(line: &str) -> Result<(Option<u64>, Side, String), String> {
        let entry = TranscriptReader::default().read(line.as_bytes()).map_err(|no| no.reason)?;
        let entry = entry.ok_or("blank")?;
        Ok((entry.at_ms, entry.from, String::from_utf8_lossy(&entry.line).into_owned()))
    }

    #[test]
    fn any_line_is_written_as_json() {
        let text: String = ('\0'..='\u{ff}').chain("\u{2028}😀\u{1}".chars()).collect();
        for length in [0, 1, 12 * 1024 - 1, 12 * 1024, 12 * 1024 + 1] {
            let text = "a".repeat(length) + &text;
            let written = String::from_utf8(write(0, Side::Client, text.as_bytes())).unwrap();
            let json = serde_json::to_string(&text).unwrap();
            assert_eq!(written.split_once(r#""text":"#).unwrap().1, format!("{json}}}\n"));
        }
    }

    #[test]
    fn written_entries_are_read_back() {
        let long = [&"\u{1}é".repeat(20_000).into_bytes()[..], b"\xff"].concat();
        let long_text = long.get(..long.len() - 1).unwrap();
        for line in [
            &long,
            long_text,
            &b"{\"id\":1}"[..],
            b"",
            b"\"\\\x1b\t",
            "\u{202e}ü".as_bytes(),
            b"\xff\x00",
        ] {
            for side in [Side::Client, Side::Server] {
                let written = write(1_763_805_600_120, side, line);
                assert_eq!(memchr::memchr_iter(b'\n', &written).count(), 1);
                let entry = TranscriptReader::default().read(&written).unwrap().unwrap();
                assert_eq!(entry.at_ms, Some(1_763_805_600_120));
                assert_eq!((entry.from, entry.line.as_ref()), (side, line));
            }
        }
        let line = String::from_utf8(write(1_763_805_600_120, Side::Client, b"{}")).unwrap();
        assert_eq!(
            line,
            "{\"t\":\"2025-11-22T10:00:00.120Z\",\"from\":\"client\",\"text\":\"{}\"}\n"
        );
    }

    #[test]
    fn the_forms_of_other_recorders_are_read() {
        let sent = (Some(1500), Side::Client, r#"{"id": 1}"#.to_owned());
        for (ts, dir) in [
            ("\"1970-01-01T00:00:01.5Z\"", "client"),
            ("\"1970-01-01T01:00:01.5+01:00\"", "c2s"),
            ("1.5", "client->server"),
        ] {
            let with = |msg: &str| read(&format!(r#"{{"ts":{ts},"dir":"{dir}","msg":{msg}}}"#));
            assert_eq!(with(r#"{"id": 1}"#), Ok(sent.clone()));
            assert_eq!(with(r#""{\"id\": 1}""#), Ok(sent.clone()));
        }
        let ms = read(r#"{"ts":1763805600120,"dir":"s2c","msg":{}}"#);
        assert_eq!(ms, Ok((Some(1_763_805_600_120), Side::Server, "{}".to_owned())));
    }

    #[test]
    fn a_line_that_is_not_an_entry_is_the_clients_except_after_entries() {
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"from":"client"}}"#;
        for line in [call, "no JSON", r#"{"from":"client"}"#, r#"{"text":"x"}"#] {
            assert_eq!(read(line), Ok((None, Side::Client, line.to_owned())));
            let mut reader = TranscriptReader::default();
            assert!(reader.read(br#"{"t":1,"from":"client","text":"x"}"#).is_ok());
            assert_eq!(reader.form(), Some(Form::Entries));
            assert!(reader.read(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_with_an_entry() {
        for (line, reason) in [
            (r#"{"from":"client","text":""}"#, "it has no time"),
            (r#"{"t":"noon","from":"client","text":""}"#, "`\"noon\"` is no time since 1970"),
            (r#"{"t":-1,"from":"client","text":""}"#, "`-1` is no time since 1970"),
            (r#"{"t":1,"from":"in","text":""}"#, "`in` is neither `client` nor `server`"),
            (r#"{"t":1,"from":"client","text":"","msg":1}"#, "it holds more than one line"),
        ] {
            assert_eq!(read(line), Err(reason.to_owned()));
        }
        assert_eq!(read(" \t\r"), Err("blank".to_owned()));
    }
}
