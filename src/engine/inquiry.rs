//! The conversation that finds out what tools a server has: a handshake in the era that it speaks, then all pages of
//! its list. Lines in, lines out; whoever holds the pipes moves them.
//!
//! ```text
//!   initialize ─ result ─► notifications/initialized, tools/list ─ nextCursor ─► tools/list … ─► the tools
//!        └─ error ─► tools/list with the `_meta` of 2026-07-28 ──────┘
//! ```

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::frame::{self, Frame, FrameKind, Unrelayed};
use super::id_finder::ids_on;
use super::json::Scratch;
use super::mcp::{INITIALIZE, INITIALIZED, PROTOCOL_VERSION, ServerMembers, TOOLS_LIST};

/// The revision that a handshake asks for: the last one that has any.
const LEGACY: &str = "2025-11-25";
/// The revision that is spoken to a server which knows no handshake, unless it names another.
const MODERN: &str = "2026-07-28";
/// The error of a server that knows no handshake, or not this revision.
/// <https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning>
const UNSUPPORTED_VERSION: i64 = -32022;
/// JSON-RPC's error for a method that is not there.
const NO_SUCH_METHOD: i32 = -32601;

/// How many bytes the answers may have in all: a server's pages might never end.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How many pages there may be.
const MAX_PAGES: usize = 10_000;
/// How much of a server's own words is shown, in characters.
const SHOWN: usize = 256;

/// What is to be done after a line of the server.
#[derive(Debug)]
pub enum Turn {
    /// Read on.
    Wait,
    /// The server asks for something itself: send it this, if it still reads.
    Reply(Vec<u8>),
    /// The server has answered: send it these lines, and wait for the next answer.
    Ask(Vec<u8>),
    /// The elements of the list, on all pages, as the server sends them; each is an object with a name.
    Done(Vec<Value>),
    /// There will be no list, and this is why.
    Fail(String),
}

/// The conversation.
#[derive(Debug)]
pub struct Inquiry {
    /// The id of the request that awaits its answer.
    id: u64,
    stage: Stage,
    tools: Vec<Value>,
    cursors: HashSet<String>,
    /// How many bytes of answers are still taken.
    room: usize,
}

/// What is awaited.
#[derive(Debug)]
enum Stage {
    /// The answer to the handshake.
    Handshake,
    /// A page of a server with a handshake. Whether it has said that it has tools.
    Legacy { declares_tools: bool },
    /// A page of a server that refused the handshake, in these words.
    Modern { meta: Value, refusal: String },
}

impl Inquiry {
    /// Begins one. Returns what is to be sent first.
    #[must_use]
    pub fn begin() -> (Self, Vec<u8>) {
        let inquiry = Inquiry {
            id: 1,
            stage: Stage::Handshake,
            tools: Vec::new(),
            cursors: HashSet::new(),
            room: MAX_BYTES,
        };
        let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": us() });
        let hello = inquiry.request(&params);
        (inquiry, hello)
    }

    /// The method of the request that awaits its answer.
    #[must_use]
    pub fn awaits(&self) -> &'static str {
        match self.stage {
            Stage::Handshake => INITIALIZE,
            Stage::Legacy { .. } | Stage::Modern { .. } => TOOLS_LIST,
        }
    }

    /// Heeds a line of the server. Noise, notifications and answers to nobody are passed over.
    pub fn handle(&mut self, line: &[u8]) -> Turn {
        match Message::read(line) {
            Some(Message::Request { id, is_ping: true }) => {
                Turn::Reply(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n").into())
            }
            Some(Message::Request { id, is_ping: false }) => {
                let refusal = "this client answers nothing but ping";
                Turn::Reply(answer::error(Some(&id), NO_SUCH_METHOD, refusal))
            }
            Some(Message::Answer { ids, reply }) if ids.iter().any(|id| self.is_own(id)) => {
                match self.room.checked_sub(line.len()) {
                    Some(room) => self.room = room,
                    None => return endless(&format!("it has over {MAX_BYTES} bytes")),
                }
                match reply {
                    Some(reply) => self.answered(reply),
                    None => self.unreadable(),
                }
            }
            Some(Message::Answer { .. }) | None => Turn::Wait,
        }
    }

    /// Heeds a line that was too long to be read; `ids` are what was found on it.
    #[must_use]
    pub fn handle_too_long(&self, ids: &[String]) -> Turn {
        if ids.iter().any(|id| self.is_own(id)) { self.unreadable() } else { Turn::Wait }
    }

    /// True for the id of the request that awaits its answer; a server may spell it as a string (SPEC W4).
    fn is_own(&self, id: &str) -> bool {
        let own = self.id.to_string();
        id == own
            || frame::read_id(id).is_some_and(|id| {
                id.key().as_ref() == own.as_bytes()
                    || id.key_of_number_in_string().as_deref() == Some(own.as_bytes())
            })
    }

    fn unreadable(&self) -> Turn {
        Turn::Fail(format!("server sent an unreadable answer to `{}`", self.awaits()))
    }

    fn answered(&mut self, reply: Reply) -> Turn {
        match (&self.stage, reply) {
            (Stage::Handshake, Ok(welcome)) => {
                let declares_tools = welcome.pointer("/capabilities/tools").is_some();
                self.stage = Stage::Legacy { declares_tools };
                let mut lines = line(&json!({ "jsonrpc": "2.0", "method": INITIALIZED }));
                lines.extend(self.next_page(json!({})));
                Turn::Ask(lines)
            }
            // It may know no handshake: then each request says what the handshake would have said.
            (Stage::Handshake, Err(error)) => {
                let meta = json!({
                    PROTOCOL_VERSION: error.supported_version().unwrap_or(MODERN),
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": us(),
                });
                self.stage = Stage::Modern { meta, refusal: error.to_string() };
                Turn::Ask(self.next_page(json!({})))
            }
            (Stage::Legacy { .. } | Stage::Modern { .. }, Ok(result)) => self.take(result),
            (Stage::Legacy { declares_tools: false }, Err(_)) => Turn::Done(Vec::new()),
            (Stage::Legacy { declares_tools: true }, Err(error)) => {
                Turn::Fail(format!("server answered `{TOOLS_LIST}` with {error}"))
            }
            (Stage::Modern { refusal, .. }, Err(error)) => Turn::Fail(format!(
                "server answered `{INITIALIZE}` with {refusal}, `{TOOLS_LIST}` with {error}"
            )),
        }
    }

    /// Takes a page.
    fn take(&mut self, result: Value) -> Turn {
        let Some(page) = Page::read(result) else {
            return Turn::Fail(format!("server's answer to `{TOOLS_LIST}` is no list of tools"));
        };
        self.tools.extend(page.tools);
        let Some(cursor) = page.next_cursor else {
            return Turn::Done(std::mem::take(&mut self.tools));
        };
        let params = json!({ "cursor": cursor });
        if !self.cursors.insert(cursor) {
            return endless("it gave the same cursor twice");
        }
        if self.cursors.len() >= MAX_PAGES {
            return endless(&format!("it has over {MAX_PAGES} pages"));
        }
        Turn::Ask(self.next_page(params))
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

/// The names of tools, each once, in their order.
#[must_use]
pub fn names(tools: &[Value]) -> Vec<String> {
    let mut seen = HashSet::new();
    let names = tools.iter().filter_map(|tool| tool.get("name")?.as_str());
    names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

/// The tools in an answer to `tools/list`, if `line` is one. What `wrap` would not relay is none.
#[must_use]
pub fn listed_in(line: &[u8]) -> Option<Vec<Value>> {
    let Some(Message::Answer { reply, .. }) = Message::read(line) else { return None };
    Some(Page::read(reply?.ok()?)?.tools)
}

/// How callgate calls itself.
fn us() -> Value {
    json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") })
}

fn line(message: &Value) -> Vec<u8> {
    format!("{message}\n").into_bytes()
}

fn endless(why: &str) -> Turn {
    Turn::Fail(format!("server's list of tools has no end: {why}"))
}

/// A message of the server, read as strictly as `wrap` reads it.
enum Message {
    /// It asks for something itself; its id as it was spelt.
    Request { id: String, is_ping: bool },
    /// It answers; the request's id as it was spelt. `None` if what stands beside the id cannot be read; then there may
    /// be several.
    Answer { ids: Vec<String>, reply: Option<Reply> },
}

/// A result, or an error.
type Reply = Result<Value, RpcError>;

impl Message {
    /// Reads a line. `None` for one that means nothing here.
    fn read(line: &[u8]) -> Option<Self> {
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
                ids_on(line, |id| ids.extend((ids.len() < 64).then(|| id.to_owned())));
                return Some(Message::Answer { ids, reply: None });
            }
        };
        match kind {
            FrameKind::Request { id, method } => {
                Some(Message::Request { id: id.raw().to_owned(), is_ping: method == "ping" })
            }
            FrameKind::Response { id: Some(id) } => {
                let reply = serde_json::from_slice::<Envelope>(line).ok().and_then(Envelope::reply);
                Some(Message::Answer { ids: vec![id.raw().to_owned()], reply })
            }
            FrameKind::Response { id: None } | FrameKind::Notification { .. } => None,
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    result: Option<Value>,
    error: Option<RpcError>,
}

impl Envelope {
    fn reply(self) -> Option<Reply> {
        self.error.map(Err).or(self.result.map(Ok))
    }
}

/// A page of the list.
struct Page {
    tools: Vec<Value>,
    next_cursor: Option<String>,
}

impl Page {
    /// Reads a result. Whatever is no object with a name is no tool: `wrap` cuts it from the list too.
    fn read(mut result: Value) -> Option<Self> {
        let is_tool = |tool: &Value| tool.get("name").is_some_and(Value::is_string);
        let Value::Array(mut tools) = result.get_mut("tools")?.take() else { return None };
        tools.retain(is_tool);
        let next_cursor = match result.get_mut("nextCursor").map(Value::take) {
            None | Some(Value::Null) => None,
            Some(Value::String(cursor)) => Some(cursor),
            Some(_) => return None,
        };
        Some(Page { tools, next_cursor })
    }
}

/// An error as JSON-RPC has it.
#[derive(Deserialize)]
struct RpcError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

impl RpcError {
    /// The newest revision that the server says it speaks, if this is the error that says so.
    fn supported_version(&self) -> Option<&str> {
        let is_said = self.code == UNSUPPORTED_VERSION;
        let supported = is_said.then(|| self.data.get("supported")?.as_array())??;
        // Dates: the latest is the greatest.
        supported.iter().filter_map(Value::as_str).max()
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message: String = self.message.chars().take(SHOWN).collect();
        write!(f, "error {} `{message}`", self.code)
    }
}
