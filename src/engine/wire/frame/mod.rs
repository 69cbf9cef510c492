//! One JSON-RPC line: its kind and parts, or why it is refused (contract W3, W6). Knows requests and ids, but no tools.

pub mod batch;
pub mod id_finder;

mod refusal;
mod request_id;

use std::borrow::Cow;

use self::refusal::refuse_json;
use self::request_id::short_id;
use crate::engine::interrupt::Interrupt;
use crate::engine::json::outline::outline;
use crate::engine::json::reader::{Fault, JsonError, KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::value::{Kind, Str, Value};
use crate::engine::text::shorten::short_name;

pub use self::refusal::{Refusal, RefusalAnswer};
pub use self::request_id::{MAX_ID_BYTES, RequestId, read_id};

/// JSON-RPC error code: the line is not JSON in UTF-8.
pub const PARSE_ERROR: i32 = -32700;
/// The line is JSON, but not a message that all parsers read alike.
pub const INVALID_REQUEST: i32 = -32600;
/// The request's parameters have the wrong type.
pub const INVALID_PARAMS: i32 = -32602;
/// The server's answer cannot be read.
pub const INTERNAL_ERROR: i32 = -32603;
/// callgate cannot serve the request now: too many are in flight, or the server is gone.
pub const SERVER_ERROR: i32 = -32000;

/// The longest name of a method or tool, in bytes after decoding (contract W3): each is compared with every pattern of
/// the policy.
pub const MAX_NAME_BYTES: usize = 1024;

/// Keys of the envelope. None of them may appear in another case.
const RESERVED: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A parsed line.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    /// The kind of message.
    pub kind: FrameKind<'a>,
    /// `params`, of any type.
    pub params: Option<Value<'a>>,
    /// `result`, of any type.
    pub result: Option<Value<'a>>,
    /// `error`, of any type.
    pub error: Option<Value<'a>>,
    /// A key at any depth is `inputRequests`, in any case.
    pub has_input_requests: bool,
}

/// The kinds of message.
#[derive(Debug, Clone)]
pub enum FrameKind<'a> {
    /// Has a method and an id.
    Request {
        /// The sender's id.
        id: RequestId<'a>,
        /// The method, decoded.
        method: Cow<'a, str>,
    },
    /// Has a method and no id.
    Notification {
        /// The method, decoded.
        method: Cow<'a, str>,
    },
    /// Has a result or an error.
    Response {
        /// `None` if it is absent or null, as in some errors.
        id: Option<RequestId<'a>>,
    },
}

/// Reads a line from the client, without its line end. Refuses everything that two parsers could read differently.
/// `param` receives each key of `params`, if that is an object, and must read its value.
///
/// # Errors
/// See [`Refusal`] and contract W3.
pub fn read_client<'a>(
    line: &'a [u8],
    scratch: &mut Scratch,
    param: impl FnMut(&mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
) -> Result<Frame<'a>, Refusal> {
    let text = std::str::from_utf8(line).map_err(|error| {
        let message = format!("not UTF-8 at byte {}", error.valid_up_to());
        Refusal::of(PARSE_ERROR, message, None)
    })?;
    read_client_text(text, scratch, param).map_err(|unread| match unread {
        Unread::Refused(refusal) => refusal,
        Unread::Doubtful(message, Id::Read(id)) => Refusal::of(INVALID_REQUEST, message, id),
        Unread::Doubtful(message, Id::Unread) => {
            let id = undoubted_id(text, scratch.interrupt());
            Refusal::of(INVALID_REQUEST, message, id)
        }
    })
}

/// Why a client's line is not read.
enum Unread<'a> {
    Refused(Refusal),
    /// The line is refused with this message and this id.
    Doubtful(Cow<'static, str>, Id<'a>),
}

/// The id of a refused frame.
enum Id<'a> {
    /// The id, or `None` if it is absent or ambiguous.
    Read(Option<RequestId<'a>>),
    /// The frame was not read to its end.
    Unread,
}

fn read_client_text<'a>(
    text: &'a str,
    scratch: &mut Scratch,
    param: impl FnMut(&mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
) -> Result<Frame<'a>, Unread<'a>> {
    if let Some(at) = memchr::memchr(b'\r', text.as_bytes()) {
        let message = format!("a carriage return at byte {at}: some servers end a line there");
        return Err(Unread::Doubtful(message.into(), Id::Unread));
    }
    let mut reader = Reader::new(text, MAX_DEPTH, scratch);
    match reader.peek() {
        Some(b'{') => {}
        Some(b'[') => return Err(Unread::Refused(refuse_batch(text, scratch.interrupt()))),
        _ => return Err(Unread::Refused(refuse_other(text, scratch.interrupt()))),
    }
    let mut seen = Seen::default();
    let read = seen.read(&mut reader, param).and_then(|()| reader.end());
    if let Err(error) = read {
        return Err(match error.fault {
            Fault::TooDeep | Fault::TooManyKeys => {
                Unread::Doubtful(error.fault.to_string().into(), Id::Unread)
            }
            Fault::Expected(_) | Fault::Interrupted => Unread::Refused(refuse_json(error)),
        });
    }
    let id = Id::Read(seen.undoubted_id());
    if let Some(&at) = scratch.duplicates().first() {
        return Err(Unread::Doubtful(duplicate_message(text, at).into(), id));
    }
    if let Some(key) = seen.look_alike {
        return Err(Unread::Doubtful(look_alike_message(key).into(), id));
    }
    seen.classify_strictly().map_err(|message| Unread::Doubtful(message.into(), id))
}

/// Why a line from the server is not relayed (contract W6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrelayed {
    /// The line is a strict JSON object, but not a JSON-RPC message: whatever its id, it answers nothing.
    NoMessage(Cow<'static, str>),
    /// The line cannot be read, or parsers could read it differently. Requests that it may answer get an error.
    Unreadable(Cow<'static, str>),
}

impl Unrelayed {
    /// The line was not read to its end. Waiting requests get the error of a session that stops.
    fn interrupted() -> Self {
        Unrelayed::NoMessage(Fault::Interrupted.to_string().into())
    }

    /// What is wrong with the line, as text for the user.
    #[must_use]
    pub fn reason(self) -> Cow<'static, str> {
        match self {
            Unrelayed::NoMessage(reason) | Unrelayed::Unreadable(reason) => reason,
        }
    }
}

const BYTE_ORDER_MARK: &str = "a byte order mark at the start";
const NOT_AN_OBJECT: &str = "not a JSON object";
const BESIDE: &str = "`method` beside `result` or `error`";
const NO_MESSAGE: &str = "neither a request, a notification nor a response";

/// Reads a line from the server, without its line end (contract W6). `members` receives each key of `result` and of
/// `params`, if that is an object, and must read its value.
///
/// # Errors
/// The line is not one strict JSON object, is not a message, or could be read in two ways.
pub fn read_server<'a>(
    line: &'a [u8],
    scratch: &mut Scratch,
    members: impl FnMut(Part, &mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
) -> Result<Frame<'a>, Unrelayed> {
    let unreadable = |reason: String| Unrelayed::Unreadable(reason.into());
    if let Some(at) = memchr::memchr(b'\r', line) {
        return Err(unreadable(format!("a carriage return at byte {at}")));
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| unreadable(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut reader = Reader::new(text, MAX_DEPTH, scratch);
    if reader.peek() != Some(b'{') {
        let is_marked = text.starts_with('\u{FEFF}');
        let reason = if is_marked { BYTE_ORDER_MARK } else { NOT_AN_OBJECT };
        return Err(Unrelayed::Unreadable(reason.into()));
    }
    let mut seen = Seen::default();
    seen.read_lenient(&mut reader, members).map_err(|error| match error.fault {
        Fault::Expected(what) => {
            unreadable(format!("not JSON: expected {what} at byte {}", error.at))
        }
        Fault::TooDeep | Fault::TooManyKeys => unreadable(error.fault.to_string()),
        Fault::Interrupted => Unrelayed::interrupted(),
    })?;
    reader.end().map_err(|error| match error.fault {
        Fault::Interrupted => Unrelayed::interrupted(),
        Fault::Expected(_) | Fault::TooDeep | Fault::TooManyKeys => {
            unreadable(format!("more text behind the first object, at byte {}", error.at))
        }
    })?;
    if !seen.is_jsonrpc {
        return Err(Unrelayed::NoMessage("no `\"jsonrpc\":\"2.0\"`".into()));
    }
    if let Some(&at) = scratch.duplicates().first() {
        return Err(unreadable(duplicate_message(text, at)));
    }
    if let Some(key) = seen.look_alike {
        return Err(unreadable(look_alike_message(key)));
    }
    let frame = seen.classify()?;
    Ok(Frame { has_input_requests: scratch.has_input_requests(), ..frame })
}

/// The two members of a server's envelope that are read member by member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `params`
    Params,
    /// `result`
    Result,
}

/// The members of an envelope that have a meaning.
#[derive(Debug, Default)]
struct Seen<'a> {
    /// The envelope has `"jsonrpc":"2.0"`.
    is_jsonrpc: bool,
    id: Option<Value<'a>>,
    /// How many keys some parser could read as `id`.
    ids: usize,
    method: Option<Value<'a>>,
    params: Option<Value<'a>>,
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
    /// A key that equals a reserved one only after case folding.
    look_alike: Option<Str<'a>>,
}

impl<'a> Seen<'a> {
    /// Reads a client's envelope: keys must be unique at every depth.
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

    /// Reads a server's envelope: keys must be unique only at its top and in `result`.
    fn read_lenient(
        &mut self,
        reader: &mut Reader<'a, '_>,
        mut members: impl FnMut(Part, &mut Reader<'a, '_>, Str<'a>) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        let whole = reader.object(|reader, key| {
            let is_object = reader.peek() == Some(b'{');
            let value = if is_object && key.is("result") {
                reader.object(|reader, key| members(Part::Result, reader, key))?
            } else if is_object && key.is("params") {
                reader.open_object(|reader, key| members(Part::Params, reader, key))?
            } else {
                reader.value(KeyRule::Any)?
            };
            self.note(key, value);
            Ok(())
        });
        whole.map(|_| ())
    }

    fn note(&mut self, key: Str<'a>, value: Value<'a>) {
        if key.is("jsonrpc") {
            self.is_jsonrpc |= is_version(value);
        } else if key.is("id") {
            self.id = Some(value);
            self.ids = self.ids.saturating_add(1);
        } else if key.is("method") {
            self.method = Some(value);
        } else if key.is("params") {
            self.params = Some(value);
        } else if key.is("result") {
            self.result = Some(value);
        } else if key.is("error") {
            self.error = Some(value);
        } else if RESERVED.iter().any(|reserved| key.resembles(reserved)) {
            self.look_alike = Some(key);
            self.ids = self.ids.saturating_add(usize::from(key.resembles("id")));
        }
    }

    /// As [`undoubted_id`], for an envelope that was read to its end.
    fn undoubted_id(&self) -> Option<RequestId<'a>> {
        short_id(self.id.filter(|_| self.ids == 1)?)
    }

    /// Classifies a client's frame.
    fn classify_strictly(self) -> Result<Frame<'a>, &'static str> {
        let Seen { id, method, params, result, error, .. } = self;
        let frame = |kind| Ok(Frame { kind, params, result, error, has_input_requests: false });
        let Some(method) = method else {
            let id = match id.map(Value::kind) {
                None | Some(Kind::Null) => None,
                Some(_) => {
                    id.and_then(RequestId::new).map(Some).ok_or("an id is a string or a number")?
                }
            };
            return match (id, result, error) {
                (_, Some(_), Some(_)) => Err("both `result` and `error`"),
                (_, None, None) => Err(NO_MESSAGE),
                (None, Some(_), None) => Err("a result without an id"),
                _ => frame(FrameKind::Response { id }),
            };
        };
        if result.is_some() || error.is_some() {
            return Err(BESIDE);
        }
        let method = read_method(method).map_err(MethodFault::as_str)?;
        let Some(id) = id else { return frame(FrameKind::Notification { method }) };
        let id = RequestId::new(id).ok_or("a request's id is a string or a number")?;
        if id.raw().len() > MAX_ID_BYTES {
            return Err("a request's id is at most 4096 bytes long");
        }
        frame(FrameKind::Request { id, method })
    }

    /// Classifies a server's frame.
    fn classify(self) -> Result<Frame<'a>, Unrelayed> {
        let Seen { id: spelt, method, params, result, error, .. } = self;
        let id = spelt.and_then(RequestId::new);
        let (kind, result) = match (method, result, error) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err(Unrelayed::Unreadable(BESIDE.into()));
            }
            (Some(method), None, None) => {
                let method = read_method(method).map_err(|fault| match fault {
                    MethodFault::TooLong => Unrelayed::Unreadable(fault.as_str().into()),
                    MethodFault::NoString | MethodFault::NoText => {
                        Unrelayed::NoMessage(fault.as_str().into())
                    }
                })?;
                let kind = match id {
                    Some(id) => FrameKind::Request { id, method },
                    None => FrameKind::Notification { method },
                };
                (kind, None)
            }
            (None, result, error) => {
                let result = the_one_of(result, error)?;
                if id.is_none() && !spelt.is_none_or(Value::is_null) {
                    return Err(Unrelayed::Unreadable("an id is a string or a number".into()));
                }
                (FrameKind::Response { id }, result)
            }
        };
        Ok(Frame { kind, params, result, error, has_input_requests: false })
    }
}

/// The result of a response; `None` if it is an error. A response has exactly one of the two; a null beside the other
/// counts as absent (contract W6).
fn the_one_of<'a>(
    result: Option<Value<'a>>,
    error: Option<Value<'a>>,
) -> Result<Option<Value<'a>>, Unrelayed> {
    match (result, error) {
        (None, None) => Err(Unrelayed::NoMessage(NO_MESSAGE.into())),
        (Some(result), Some(error)) => match (result.is_null(), error.is_null()) {
            (true, false) => Ok(None),
            (false, true) => Ok(Some(result)),
            (true, true) => Err(Unrelayed::NoMessage("`result` and `error` are null".into())),
            (false, false) => Err(Unrelayed::NoMessage("both `result` and `error`".into())),
        },
        (result, _) => Ok(result),
    }
}

/// What can be wrong with a method.
#[derive(Debug, Clone, Copy)]
enum MethodFault {
    NoString,
    NoText,
    TooLong,
}

impl MethodFault {
    fn as_str(self) -> &'static str {
        match self {
            MethodFault::NoString => "`method` is not a string",
            MethodFault::NoText => "`method` is not Unicode text",
            MethodFault::TooLong => "`method` is over 1024 bytes long",
        }
    }
}

fn read_method(method: Value<'_>) -> Result<Cow<'_, str>, MethodFault> {
    let method = method.as_str().ok_or(MethodFault::NoString)?;
    if method.is_longer_than(MAX_NAME_BYTES) {
        return Err(MethodFault::TooLong);
    }
    method.decode().ok_or(MethodFault::NoText)
}

/// True for `"2.0"`, which is almost never spelt with escapes.
fn is_version(value: Value<'_>) -> bool {
    value.text() == "\"2.0\"" || value.as_str().is_some_and(|version| version.is("2.0"))
}

/// The message about a key that some servers would read as a reserved one.
#[must_use]
pub fn look_alike_message(key: Str<'_>) -> String {
    let key = key.decode_lossy();
    format!("the key `{}` differs from a reserved one only by case", short_name(&key))
}

fn refuse_other(text: &str, interrupt: &Interrupt) -> Refusal {
    if text.starts_with('\u{FEFF}') {
        return Refusal::of(PARSE_ERROR, format!("not JSON: {BYTE_ORDER_MARK}"), None);
    }
    match outline(text, interrupt, |_, _| ()) {
        Ok(_) => Refusal::of(INVALID_REQUEST, NOT_AN_OBJECT, None),
        Err(error) => refuse_json(error),
    }
}

/// A batch gets one error for each request in it (contract W3); see [`batch`].
fn refuse_batch(text: &str, interrupt: &Interrupt) -> Refusal {
    match outline(text, interrupt, |_, _| ()) {
        Ok(_) => Refusal {
            code: INVALID_REQUEST,
            message: "batches are not supported: send one message a line".to_owned(),
            answer: RefusalAnswer::Batch,
        },
        Err(error) => refuse_json(error),
    }
}

/// The id of a refused frame, if it is unambiguous: the text is a JSON object, of any depth, and has exactly one key
/// that any parser could read as `id`.
pub(in crate::engine) fn undoubted_id<'a>(
    text: &'a str,
    interrupt: &Interrupt,
) -> Option<RequestId<'a>> {
    let mut ids = 0_usize;
    let mut only = None;
    let read = outline(text, interrupt, |key, value| {
        if key.resembles("id") {
            ids = ids.saturating_add(1);
            only = key.is("id").then_some(value);
        }
    });
    read.ok()?;
    short_id(only.filter(|_| ids == 1)?)
}

/// The message about a duplicate key; the second one begins at byte `at`.
fn duplicate_message(text: &str, at: usize) -> String {
    let rest = text.get(at.saturating_add(1)..).unwrap_or_default();
    let key = short_name(rest.split('"').next().unwrap_or_default());
    format!("duplicate key `{key}` at byte {at}")
}
