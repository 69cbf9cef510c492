//! The conversation that lists a server's tools: a handshake in the server's protocol era, then all pages of its list.
//! It consumes and produces lines; the caller owns the pipes.
//!
//! ```text
//!   initialize ─ result ─► notifications/initialized, tools/list ─ nextCursor ─► tools/list … ─► the tools
//!        └─ error ─► tools/list with the `_meta` of 2026-07-28 ──────┘
//! ```

pub mod tool_list;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::tool_list::{MAX_TOOLS, ToolList, ToolPage, member};
use crate::engine::json::reader::Scratch;
use crate::engine::wire::frame::id_finder::ids_on;
use crate::engine::wire::frame::{self, Frame, FrameKind, Unrelayed};
use crate::engine::wire::mcp::{
    INITIALIZE, INITIALIZED, PROTOCOL_VERSION, ServerMembers, TOOLS_LIST,
};
use crate::engine::wire::message;

/// The revision requested in a handshake: the last one that has handshakes.
const LEGACY: &str = "2025-11-25";
/// The revision used with a server without handshakes, unless it names another.
const MODERN: &str = "2026-07-28";
/// The error of a server that has no handshake, or does not support this revision.
/// <https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning>
const UNSUPPORTED_VERSION: i64 = -32022;
/// JSON-RPC's error for an unknown method.
const NO_SUCH_METHOD: i32 = -32601;

/// The most bytes that a server may write in all: its pages might never end (contract S5).
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The most pages.
const MAX_PAGES: usize = 10_000;
/// How many characters of a server's own words are shown.
const SHOWN: usize = 256;
/// The longest accepted list of a server's revisions, in bytes.
const MAX_REVISIONS: usize = 64 * 1024;

/// What the caller must do after a line of the server.
#[derive(Debug)]
pub enum InquiryTurn {
    /// Read the next line.
    Wait,
    /// The server sent a request of its own: send it this reply, if it still reads.
    Reply(Vec<u8>),
    /// The server has answered: send these lines, and wait for the next answer.
    Ask(Vec<u8>),
    /// The list is complete, or as long as it will get.
    Done(Listed),
    /// There is no list, for this reason.
    Fail(String),
}

/// The tools that a server has listed.
#[derive(Debug, Default)]
pub struct Listed {
    /// The tools, from all pages.
    pub tools: ToolList,
    /// Why the list may be incomplete.
    pub unfinished: Option<String>,
}

/// A conversation with a server about its tools.
#[derive(Debug)]
pub struct Inquiry {
    /// The id of the request in flight.
    id: u64,
    stage: Stage,
    tools: ToolList,
    cursors: HashSet<String>,
    /// How many more bytes are accepted.
    room: usize,
    /// True once a page has arrived.
    has_page: bool,
}

/// The answer that the conversation waits for.
#[derive(Debug)]
enum Stage {
    /// The answer to the handshake.
    Handshake,
    /// A page from a server with a handshake, and whether the server has announced tools.
    Legacy { declares_tools: bool },
    /// A page from a server that refused the handshake with this message.
    Modern { meta: Value, refusal: String },
}

impl Inquiry {
    /// Begins a conversation. Returns the first line to send.
    #[must_use]
    pub fn begin() -> (Self, Vec<u8>) {
        let inquiry = Inquiry {
            id: 1,
            stage: Stage::Handshake,
            tools: ToolList::default(),
            cursors: HashSet::new(),
            room: MAX_BYTES,
            has_page: false,
        };
        let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": us() });
        let hello = inquiry.request(&params);
        (inquiry, hello)
    }

    /// The method of the request in flight.
    #[must_use]
    pub fn awaits(&self) -> &'static str {
        match self.stage {
            Stage::Handshake => INITIALIZE,
            Stage::Legacy { .. } | Stage::Modern { .. } => TOOLS_LIST,
        }
    }

    /// Handles a line of the server. Noise, notifications and answers to other requests are ignored.
    pub fn handle(&mut self, line: &[u8]) -> InquiryTurn {
        match self.room.checked_sub(line.len()) {
            Some(room) => self.room = room,
            None => return self.stop(&format!("it wrote over {} MiB", MAX_BYTES / (1024 * 1024))),
        }
        match Message::read(line) {
            Some(Message::Request { id, is_ping: true }) => InquiryTurn::Reply(
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n").into(),
            ),
            Some(Message::Request { id, is_ping: false }) => {
                let refusal = "this client answers nothing but ping";
                InquiryTurn::Reply(message::error(Some(&id), NO_SUCH_METHOD, refusal))
            }
            Some(Message::Answer { ids, reply }) if ids.iter().any(|id| self.is_own(id)) => {
                match reply {
                    Some(reply) => self.answered(reply),
                    None => self.unreadable(),
                }
            }
            Some(Message::Answer { .. }) | None => InquiryTurn::Wait,
        }
    }

    /// Handles a line that was too long to read; `ids` are the ids found on it.
    #[must_use]
    pub fn handle_too_long(&mut self, ids: &[String]) -> InquiryTurn {
        if ids.iter().any(|id| self.is_own(id)) { self.unreadable() } else { InquiryTurn::Wait }
    }

    /// True for the id of the request in flight; a server may spell it as a string (contract W4).
    fn is_own(&self, id: &str) -> bool {
        let own = self.id.to_string();
        id == own
            || frame::read_id(id).is_some_and(|id| {
                id.key().as_ref() == own.as_bytes()
                    || id.key_of_number_in_string().as_deref() == Some(own.as_bytes())
            })
    }

    fn unreadable(&mut self) -> InquiryTurn {
        let why = format!("server sent an unreadable answer to `{}`", self.awaits());
        self.give_up(why)
    }

    fn answered(&mut self, reply: Reply<'_>) -> InquiryTurn {
        match (&self.stage, reply) {
            (Stage::Handshake, Ok(welcome)) => {
                let capabilities = member(welcome, "capabilities").map(RawValue::get);
                let declares_tools = capabilities.and_then(|all| member(all, "tools")).is_some();
                self.stage = Stage::Legacy { declares_tools };
                let mut lines = line(&json!({ "jsonrpc": "2.0", "method": INITIALIZED }));
                lines.extend(self.next_page(json!({})));
                InquiryTurn::Ask(lines)
            }
            // The server may have no handshake: then each request carries what the handshake would have.
            (Stage::Handshake, Err(error)) => {
                let meta = json!({
                    PROTOCOL_VERSION: error.supported_version().as_deref().unwrap_or(MODERN),
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": us(),
                });
                self.stage = Stage::Modern { meta, refusal: error.to_string() };
                InquiryTurn::Ask(self.next_page(json!({})))
            }
            (Stage::Legacy { .. } | Stage::Modern { .. }, Ok(result)) => self.take(result),
            (Stage::Legacy { .. } | Stage::Modern { .. }, Err(error)) if self.has_page => {
                self.give_up(format!("server answered `{TOOLS_LIST}` with {error}"))
            }
            (Stage::Legacy { declares_tools: false }, Err(_)) => {
                InquiryTurn::Done(self.listed(None))
            }
            (Stage::Legacy { declares_tools: true }, Err(error)) => {
                InquiryTurn::Fail(format!("server answered `{TOOLS_LIST}` with {error}"))
            }
            (Stage::Modern { refusal, .. }, Err(error)) => InquiryTurn::Fail(format!(
                "server answered `{INITIALIZE}` with {refusal}, `{TOOLS_LIST}` with {error}"
            )),
        }
    }

    /// Handles a page.
    fn take(&mut self, result: &str) -> InquiryTurn {
        let Some(page) = ToolPage::read(result, &mut self.tools) else {
            return self.give_up(format!("server's answer to `{TOOLS_LIST}` is no list of tools"));
        };
        self.has_page = true;
        if !page.is_whole {
            return self.stop(&format!("it has over {MAX_TOOLS} tools"));
        }
        let Some(cursor) = page.next_cursor else { return InquiryTurn::Done(self.listed(None)) };
        let params = json!({ "cursor": cursor });
        if !self.cursors.insert(cursor) {
            return self.stop("it gave the same cursor twice");
        }
        if self.cursors.len() >= MAX_PAGES {
            return self.stop(&format!("it has over {MAX_PAGES} pages"));
        }
        InquiryTurn::Ask(self.next_page(params))
    }

    /// Ends the conversation with the tools listed so far, if there are any. `why` is a clause about what the server
    /// does for too long or too much: "it has over 10000 pages".
    pub fn stop(&mut self, why: &str) -> InquiryTurn {
        if self.has_page {
            return self.give_up(why.to_owned());
        }
        InquiryTurn::Fail(format!("server did not answer `{}`: {why}", self.awaits()))
    }

    /// Ends the conversation for another reason, given as a whole sentence.
    pub fn give_up(&mut self, why: String) -> InquiryTurn {
        if self.has_page {
            InquiryTurn::Done(self.listed(Some(&why)))
        } else {
            InquiryTurn::Fail(why)
        }
    }

    fn listed(&mut self, why: Option<&str>) -> Listed {
        let unfinished = why.map(|why| {
            let first = match self.tools.len() {
                1 => "first tool counts".to_owned(),
                count => format!("first {count} tools count"),
            };
            format!("the server's list of tools is incomplete: {why}; only the {first}")
        });
        Listed { tools: std::mem::take(&mut self.tools), unfinished }
    }

    fn next_page(&mut self, mut params: Value) -> Vec<u8> {
        self.id = self.id.saturating_add(1);
        if let (Stage::Modern { meta, .. }, Some(params)) = (&self.stage, params.as_object_mut()) {
            params.insert("_meta".to_owned(), meta.clone());
        }
        self.request(&params)
    }

    fn request(&self, params: &Value) -> Vec<u8> {
        line(&json!({ "jsonrpc": "2.0", "id": self.id, "method": self.awaits(), "params": params }))
    }
}

/// The tools in `line`, if it is an answer to `tools/list` that `wrap` would relay.
#[must_use]
pub fn listed_in(line: &[u8]) -> Option<ToolList> {
    let Some(Message::Answer { reply, .. }) = Message::read(line) else { return None };
    let mut tools = ToolList::default();
    ToolPage::read(reply?.ok()?, &mut tools)?;
    Some(tools)
}

/// The name and version that callgate sends as its own.
fn us() -> Value {
    json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") })
}

fn line(message: &Value) -> Vec<u8> {
    format!("{message}\n").into_bytes()
}

/// A message of the server, read as strictly as by `wrap`.
enum Message<'a> {
    /// A request of the server, with its id as spelt.
    Request { id: String, is_ping: bool },
    /// An answer, with the request's id as spelt. The reply is `None` if the rest cannot be read; the line may then
    /// hold several ids.
    Answer { ids: Vec<String>, reply: Option<Reply<'a>> },
}

/// A result, or an error.
type Reply<'a> = Result<&'a str, RpcError<'a>>;

impl<'a> Message<'a> {
    /// Reads a line. `None` if it has no meaning here.
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut members = ServerMembers::default();
        let mut scratch = Scratch::default();
        let read = frame::read_server(line, &mut scratch, |part, reader, key| {
            members.read(part, reader, key)
        });
        let kind = match read {
            Ok(Frame { kind, .. }) => kind,
            Err(Unrelayed::NoMessage(_)) => return None,
            Err(Unrelayed::Unreadable(_)) => {
                let mut ids = Vec::new();
                ids_on(line, scratch.interrupt(), |id| {
                    ids.extend((ids.len() < 64).then(|| id.to_owned()));
                });
                return Some(Message::Answer { ids, reply: None });
            }
        };
        match kind {
            FrameKind::Request { id, method } => {
                Some(Message::Request { id: id.raw().to_owned(), is_ping: method == "ping" })
            }
            FrameKind::Response { id: Some(id) } => {
                let reply =
                    serde_json::from_slice::<Envelope<'_>>(line).ok().and_then(Envelope::reply);
                Some(Message::Answer { ids: vec![id.raw().to_owned()], reply })
            }
            FrameKind::Response { id: None } | FrameKind::Notification { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<RpcError<'a>>,
}

impl<'a> Envelope<'a> {
    fn reply(self) -> Option<Reply<'a>> {
        self.error.map(Err).or(self.result.map(|result| Ok(result.get())))
    }
}

/// A JSON-RPC error.
#[derive(Deserialize)]
struct RpcError<'a> {
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl RpcError<'_> {
    /// The newest revision that the server says it supports, if this is the error that lists them.
    fn supported_version(&self) -> Option<String> {
        if self.code != UNSUPPORTED_VERSION {
            return None;
        }
        let supported = member(self.data?.get(), "supported")?.get();
        let is_short = supported.len() <= MAX_REVISIONS;
        let supported: Vec<Value> = serde_json::from_str(supported).ok().filter(|_| is_short)?;
        // Revisions are dates, so the greatest is the latest.
        supported.iter().filter_map(Value::as_str).max().map(str::to_owned)
    }
}

impl fmt::Display for RpcError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message: String = self.message.chars().take(SHOWN).collect();
        write!(f, "error {} `{message}`", self.code)
    }
}
