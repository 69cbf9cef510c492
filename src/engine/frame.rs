//! One line of JSON-RPC: what it is, or why it is refused (SPEC W3, W6). Knows requests and ids, no tools.

use std::borrow::Cow;
use std::ops::Range;

use super::json::{Fault, JsonError, KeyRule, MAX_DEPTH, Reader, Scratch};
use super::value::{Kind, Str, Value};
use super::visible::short_name;

/// Not JSON in UTF-8.
pub const PARSE_ERROR: i32 = -32700;
/// JSON, but no message that can be read in one way only.
pub const INVALID_REQUEST: i32 = -32600;
/// A request whose parameters have the wrong type.
pub const INVALID_PARAMS: i32 = -32602;
/// A server's answer that cannot be read.
pub const INTERNAL_ERROR: i32 = -32603;
/// What callgate cannot do just now: too many requests, the server is gone.
pub const SERVER_ERROR: i32 = -32000;

/// The longest request id, in bytes as it is spelt (SPEC W3).
pub const MAX_ID_BYTES: usize = 4096;

/// Keys of the envelope. None of them may stand there in another case.
const RESERVED: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A line that has been read.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: FrameKind<'a>,
    /// `params`, whatever it is.
    pub params: Option<Value<'a>>,
    /// `result`, whatever it is.
    pub result: Option<Value<'a>>,
}

/// The kinds of message.
#[derive(Debug, Clone)]
pub enum FrameKind<'a> {
    /// Has a method and an id.
    Request {
        /// The sender's id.
        id: RequestId<'a>,
        /// Decoded.
        method: Cow<'a, str>,
    },
    /// Has a method and no id.
    Notification {
        /// Decoded.
        method: Cow<'a, str>,
    },
    /// Has a result or an error.
    Response {
        /// `None` where it is absent or null, as an error may have it.
        id: Option<RequestId<'a>>,
    },
    /// Something else, which only a server may send.
    Other {
        /// The id, if it has one.
        id: Option<RequestId<'a>>,
    },
}

/// A request id as its sender spells it: a string or a number.
#[derive(Debug, Clone, Copy)]
pub struct RequestId<'a> {
    value: Value<'a>,
}

impl<'a> RequestId<'a> {
    /// `None` if `value` is neither string nor number.
    #[must_use]
    pub fn new(value: Value<'a>) -> Option<Self> {
        (value.is_string() || value.is_number()).then_some(RequestId { value })
    }

    /// An id from its own spelling, as [`RequestId::raw`] gave it.
    #[must_use]
    pub(crate) fn again(raw: &'a str) -> Self {
        RequestId { value: Value::proved(raw) }
    }

    /// Where the id stands in its line.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.value.start()..self.value.end()
    }

    /// The very text.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.value.text()
    }

    /// Equal for equal ids: `1` and `1.0` have one key, `1` and `"1"` two (SPEC W4).
    #[must_use]
    pub fn key(self) -> Cow<'a, [u8]> {
        if is_plain_integer(self.raw()) {
            return Cow::Borrowed(self.raw().as_bytes());
        }
        match self.value.kind() {
            Kind::String(string) if string.is_escaped() => {
                let mut key = vec![b'"'];
                key.extend_from_slice(&string.wtf8());
                key.push(b'"');
                Cow::Owned(key)
            }
            Kind::Number(number) => Cow::Owned(number.canonical().into_bytes()),
            _ => Cow::Borrowed(self.raw().as_bytes()),
        }
    }
}

/// True for the spelling that [`super::decimal::Decimal::canonical`] would choose anyway.
fn is_plain_integer(text: &str) -> bool {
    text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Why a line from the client is not forwarded, and what its sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// JSON-RPC error code.
    pub code: i32,
    /// What is wrong.
    pub message: String,
    /// Whom to answer.
    pub answer: RefusalAnswer,
}

/// Whom a refusal answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalAnswer {
    /// One error with this id as it was spelt; null if it was not read without doubt.
    Id(Option<String>),
    /// One error for each request of a batch.
    Each(Vec<Option<String>>),
    /// Nobody: the sender expects no answer.
    Nobody,
}

impl Refusal {
    /// A refusal of the frame whose id is `id`.
    #[must_use]
    pub fn of(code: i32, message: impl Into<String>, id: Option<RequestId<'_>>) -> Self {
        let answer = RefusalAnswer::Id(id.map(|id| id.raw().to_owned()));
        Refusal { code, message: message.into(), answer }
    }
}

/// Reads a line from the client, without its line end. Whatever two parsers could read differently is refused.
/// `param` is shown each key of `params`, if that is an object, and must read its value.
///
/// # Errors
/// See [`Refusal`] and SPEC W3.
pub fn read_client<'a>(
    line: &'a [u8],
    scratch: &mut Scratch,
    param: impl FnMut(&mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
) -> Result<Frame<'a>, Refusal> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let message = format!("not UTF-8 at byte {}", error.valid_up_to());
        Refusal::of(PARSE_ERROR, message, None)
    })?;
    if let Some(at) = memchr::memchr(b'\r', line) {
        let message = format!("a carriage return at byte {at}: some servers end a line there");
        return Err(Refusal::of(INVALID_REQUEST, message, undoubted_id(text)));
    }
    let mut reader = Reader::new(text, MAX_DEPTH, scratch);
    match reader.peek() {
        Some(b'{') => {}
        Some(b'[') => return Err(refuse_batch(text)),
        _ => return Err(refuse_other(text, reader)),
    }
    let mut seen = Seen::default();
    let read = seen.read(&mut reader, param).and_then(|()| reader.end());
    if let Err(error) = read {
        let id = if error.fault == Fault::TooDeep { undoubted_id(text) } else { None };
        return Err(refuse_json(error, id));
    }
    if let Some(&at) = scratch.duplicates().first() {
        let key = key_at(text, at);
        let message = format!("duplicate key `{key}` at byte {at}");
        return Err(Refusal::of(INVALID_REQUEST, message, undoubted_id(text)));
    }
    if let Some(key) = seen.look_alike {
        return Err(Refusal::of(INVALID_REQUEST, look_alike_message(key), undoubted_id(text)));
    }
    seen.classify_strictly()
        .map_err(|message| Refusal::of(INVALID_REQUEST, message, undoubted_id(text)))
}

/// A server's line that cannot be relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Reads a line from the server, without its line end (SPEC W6). `result` is shown each key of `result`, if
/// that is an object, and must read its value.
///
/// # Errors
/// The line is not one strict JSON object, or could be read as an answer and as a request.
pub fn read_server<'a>(
    line: &'a [u8],
    scratch: &mut Scratch,
    result: impl FnMut(&mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
) -> Result<Frame<'a>, Unreadable> {
    if memchr::memchr(b'\r', line).is_some() {
        return Err(Unreadable);
    }
    let text = std::str::from_utf8(line).map_err(|_| Unreadable)?;
    let mut reader = Reader::new(text, MAX_DEPTH, scratch);
    let mut seen = Seen::default();
    seen.read_lenient(&mut reader, result).and_then(|()| reader.end()).map_err(|_| Unreadable)?;
    if scratch.duplicates().is_empty() { seen.classify() } else { Err(Unreadable) }
}

/// The members of an envelope that mean something.
#[derive(Debug, Default)]
struct Seen<'a> {
    id: Option<Value<'a>>,
    method: Option<Value<'a>>,
    params: Option<Value<'a>>,
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
    /// A key that equals a reserved one only when case is folded.
    look_alike: Option<Str<'a>>,
}

impl<'a> Seen<'a> {
    /// Reads a client's envelope: every key anywhere must be unique.
    fn read(
        &mut self,
        reader: &mut Reader<'a, '_>,
        mut param: impl FnMut(&mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let whole = reader.object(|reader, key| {
            let value = if key.is("params") && reader.peek() == Some(b'{') {
                reader.object(&mut param)?
            } else {
                reader.value(KeyRule::Unique)?
            };
            self.note(key, value);
            Ok(())
        });
        whole.map(|_| ())
    }

    /// Reads a server's envelope: only the keys at its top and in `result` must be unique.
    fn read_lenient(
        &mut self,
        reader: &mut Reader<'a, '_>,
        mut member: impl FnMut(&mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let whole = reader.object(|reader, key| {
            let value = if key.is("result") && reader.peek() == Some(b'{') {
                reader.object(&mut member)?
            } else {
                reader.value(KeyRule::Any)?
            };
            self.note(key, value);
            Ok(())
        });
        whole.map(|_| ())
    }

    fn note(&mut self, key: Str<'a>, value: Value<'a>) {
        let slot = RESERVED.iter().position(|reserved| key.is(reserved));
        match slot {
            Some(0) => {}
            Some(1) => self.id = Some(value),
            Some(2) => self.method = Some(value),
            Some(3) => self.params = Some(value),
            Some(4) => self.result = Some(value),
            Some(_) => self.error = Some(value),
            None => {
                if RESERVED.iter().any(|reserved| key.resembles(reserved)) {
                    self.look_alike = Some(key);
                }
            }
        }
    }

    /// What a client's frame is, or why it is nothing.
    fn classify_strictly(self) -> Result<Frame<'a>, &'static str> {
        let Seen { id, method, params, result, error, .. } = self;
        let frame = |kind| Ok(Frame { kind, params, result });
        let Some(method) = method else {
            let id = match id.map(Value::kind) {
                None | Some(Kind::Null) => None,
                Some(_) => {
                    id.and_then(RequestId::new).map(Some).ok_or("an id is a string or a number")?
                }
            };
            return match (id, result, error) {
                (_, Some(_), Some(_)) => Err("both `result` and `error`"),
                (_, None, None) => Err("neither a request, a notification nor a response"),
                (None, Some(_), None) => Err("a result without an id"),
                _ => frame(FrameKind::Response { id }),
            };
        };
        if result.is_some() || error.is_some() {
            return Err("`method` beside `result` or `error`");
        }
        let method = method.as_str().ok_or("`method` is not a string")?;
        let method = method.decode().ok_or("`method` is not Unicode text")?;
        let Some(id) = id else { return frame(FrameKind::Notification { method }) };
        let id = RequestId::new(id).ok_or("a request's id is a string or a number")?;
        if id.raw().len() > MAX_ID_BYTES {
            return Err("a request's id is at most 4096 bytes long");
        }
        frame(FrameKind::Request { id, method })
    }

    /// What a server's frame is.
    fn classify(self) -> Result<Frame<'a>, Unreadable> {
        let Seen { id: spelt, method, params, result, error, .. } = self;
        let id = spelt.and_then(RequestId::new);
        let answers = result.is_some() || error.is_some();
        let odd_id = id.is_none() && !matches!(spelt.map(Value::kind), None | Some(Kind::Null));
        let kind = match (method, id) {
            (Some(_), _) if answers => return Err(Unreadable),
            (None, None) if answers && odd_id => return Err(Unreadable),
            (Some(method), id) => match (method.as_str().and_then(Str::decode), id) {
                (Some(method), Some(id)) => FrameKind::Request { id, method },
                (Some(method), None) => FrameKind::Notification { method },
                (None, id) => FrameKind::Other { id },
            },
            (None, id) if answers => FrameKind::Response { id },
            (None, id) => FrameKind::Other { id },
        };
        Ok(Frame { kind, params, result })
    }
}

/// What is wrong with a key that some servers would take for a reserved one.
#[must_use]
pub fn look_alike_message(key: Str<'_>) -> String {
    let key = key.decode_lossy();
    format!("the key `{}` differs from a reserved one only by case", short_name(&key))
}

fn refuse_json(error: JsonError, id: Option<RequestId<'_>>) -> Refusal {
    match error.fault {
        Fault::Expected(what) => Refusal::of(
            PARSE_ERROR,
            format!("not JSON: expected {what} at byte {}", error.at),
            None,
        ),
        Fault::TooDeep => Refusal::of(INVALID_REQUEST, error.fault.to_string(), id),
    }
}

fn refuse_other(text: &str, reader: Reader<'_, '_>) -> Refusal {
    if text.starts_with('\u{FEFF}') {
        return Refusal::of(PARSE_ERROR, "not JSON: a byte order mark at the start", None);
    }
    match reader.document(KeyRule::Any) {
        Ok(_) => Refusal::of(INVALID_REQUEST, "not a JSON object", None),
        Err(error) => refuse_json(error, None),
    }
}

/// One error for each request of the batch; one with no id if none can be read (SPEC W3).
fn refuse_batch(text: &str) -> Refusal {
    let mut scratch = Scratch::default();
    let batch = match Reader::new(text, usize::MAX, &mut scratch).document(KeyRule::Any) {
        Ok(batch) => batch,
        Err(error) => return refuse_json(error, None),
    };
    let requests = batch.elements().filter(|element| {
        element.is_object() && element.member("method").is_some() && element.member("id").is_some()
    });
    let mut ids: Vec<Option<String>> = requests
        .map(|request| undoubted_id(request.text()).map(|id| id.raw().to_owned()))
        .collect();
    if ids.is_empty() {
        ids.push(None);
    }
    Refusal {
        code: INVALID_REQUEST,
        message: "batches are not supported: send one message a line".to_owned(),
        answer: RefusalAnswer::Each(ids),
    }
}

/// The id of a frame that is refused, if it was read without doubt: the text is JSON at any depth, an object,
/// and has exactly one key that any parser could take for `id`.
fn undoubted_id(text: &str) -> Option<RequestId<'_>> {
    let mut scratch = Scratch::default();
    let whole = Reader::new(text, usize::MAX, &mut scratch).document(KeyRule::Any).ok()?;
    let mut ids = whole.members().filter(|member| member.key.resembles("id"));
    let only = ids.next().filter(|member| member.key.is("id"))?;
    if ids.next().is_some() {
        return None;
    }
    RequestId::new(only.value).filter(|id| id.raw().len() <= MAX_ID_BYTES)
}

/// The id at the top of a server's line that cannot be relayed: read if the line is JSON, else found as well as can
/// be. A line that does not begin as an object has no top.
#[must_use]
pub fn id_at_top(line: &[u8]) -> Option<String> {
    if line.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let mut scratch = Scratch::default();
    let whole = std::str::from_utf8(line)
        .ok()
        .and_then(|text| Reader::new(text, usize::MAX, &mut scratch).document(KeyRule::Any).ok());
    if let Some(whole) = whole {
        return whole.member("id").and_then(RequestId::new).map(|id| id.raw().to_owned());
    }
    let mut finder = IdFinder::default();
    finder.feed(line);
    finder.found()
}

/// The key whose opening quote is at `at`, for a message.
fn key_at(text: &str, at: usize) -> Cow<'_, str> {
    let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
    short_name(rest.split('"').next().unwrap_or_default())
}

/// Finds the `id` at the top of a line that is no JSON, or too long to keep, as well as can be: it follows
/// strings and brackets, byte by byte, and takes the first string or number under a key `id`.
#[derive(Debug, Default)]
pub struct IdFinder {
    depth: usize,
    state: FinderState,
    /// The string or number that is being read.
    token: Vec<u8>,
    found: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum FinderState {
    /// Outside strings.
    #[default]
    Between,
    /// In a string; `true` behind a backslash.
    InString(bool),
    /// Behind the key `id`, before or after its colon.
    AfterId,
    /// In the id itself, which is a string (`true` behind a backslash).
    InIdString(bool),
    /// In the id itself, which is a number.
    InIdNumber,
}

impl IdFinder {
    /// Looks through the next bytes of the line.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.found.is_none() {
            for &byte in bytes {
                self.step(byte);
            }
        }
    }

    /// The id's text, if one was found, to be read by [`read_id`].
    #[must_use]
    pub fn found(mut self) -> Option<String> {
        if self.state == FinderState::InIdNumber {
            self.take();
        }
        self.found
    }

    fn step(&mut self, byte: u8) {
        use FinderState::{AfterId, Between, InIdNumber, InIdString, InString};
        self.state = match (self.state, byte) {
            (Between, b'"') => {
                self.token.clear();
                InString(false)
            }
            (Between | AfterId, b'{' | b'[') => {
                self.depth = self.depth.saturating_add(1);
                Between
            }
            (Between | AfterId, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                Between
            }
            (InString(false), b'"') => {
                let is_id = self.depth == 1 && self.token == b"id";
                if is_id { AfterId } else { Between }
            }
            (InString(escaped), _) => {
                self.keep(byte);
                InString(!escaped && byte == b'\\')
            }
            (AfterId, b':' | b' ' | b'\t') => AfterId,
            (AfterId, b'"') => {
                self.token = vec![byte];
                InIdString(false)
            }
            (AfterId, b'-' | b'0'..=b'9') => {
                self.token = vec![byte];
                InIdNumber
            }
            (InIdString(false), b'"') => {
                self.keep(byte);
                self.take();
                Between
            }
            (InIdString(escaped), _) => {
                self.keep(byte);
                InIdString(!escaped && byte == b'\\')
            }
            (InIdNumber, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') => {
                self.keep(byte);
                InIdNumber
            }
            (InIdNumber, _) => {
                self.take();
                Between
            }
            (Between | AfterId, _) => Between,
        };
    }

    fn keep(&mut self, byte: u8) {
        if self.token.len() <= MAX_ID_BYTES {
            self.token.push(byte);
        }
    }

    fn take(&mut self) {
        if self.found.is_none() {
            self.found = String::from_utf8(std::mem::take(&mut self.token)).ok();
        }
    }
}

/// Reads an id that an [`IdFinder`] found.
#[must_use]
pub fn read_id(text: &str) -> Option<RequestId<'_>> {
    let mut scratch = Scratch::default();
    let value = Reader::new(text, MAX_DEPTH, &mut scratch).document(KeyRule::Any).ok()?;
    RequestId::new(value)
}
