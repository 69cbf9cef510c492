//! MCP's vocabulary: methods, the parameters of a call, and what results mean. Makes no decisions.

use std::borrow::Cow;
use std::ops::Range;

use super::frame::{MAX_NAME_BYTES, Part};
use crate::engine::json::arguments::Arguments;
use crate::engine::json::reader::{JsonError, KeyRule, Reader};
use crate::engine::json::value::{Str, Value};
use crate::engine::text::name;

/// <https://modelcontextprotocol.io/specification/2025-11-25/server/tools#calling-tools>
pub const TOOLS_CALL: &str = "tools/call";
/// <https://modelcontextprotocol.io/specification/2025-11-25/server/tools#listing-tools>
pub const TOOLS_LIST: &str = "tools/list";
/// <https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization>
pub const INITIALIZE: &str = "initialize";
/// <https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/cancellation>
pub const CANCELLED: &str = "notifications/cancelled";
/// <https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization>
pub const INITIALIZED: &str = "notifications/initialized";
/// <https://modelcontextprotocol.io/specification/2025-11-25/server/tools#list-changed-notification>
pub const LIST_CHANGED: &str = "notifications/tools/list_changed";
/// <https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/progress>
pub const PROGRESS: &str = "notifications/progress";
/// A request of 2026-07-28 whose stream stays open.
pub const LISTEN: &str = "subscriptions/listen";

/// Present in `params._meta` of every request of 2026-07-28 and later, and of no earlier one.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Keys of `tools/call` params that must not appear in another case (contract W3).
const RESERVED: [&str; 6] =
    ["name", "arguments", "_meta", "task", "inputResponses", "requestState"];

/// True if `method` is not `tools/call` but some server might read it as that (contract W3).
#[must_use]
pub fn is_like_tools_call(method: &str) -> bool {
    // A mostly invisible method could look like anything. A visible one that is too long to fold has far more than the
    // ten characters of `tools/call`.
    name::is_mostly_hidden(method)
        || method != TOOLS_CALL
            && !name::is_beyond_folding(method)
            && name::fold(method) == TOOLS_CALL
}

/// The members of `params` that callgate uses, collected while the frame is read.
#[derive(Debug, Default)]
pub struct Params<'a> {
    name: Option<Value<'a>>,
    arguments: Given<'a>,
    /// `_meta` names a protocol version.
    is_modern: bool,
    /// `progressToken` of `_meta`.
    progress_token: Option<Value<'a>>,
    task: Option<Value<'a>>,
    request_state: Option<Value<'a>>,
    request_id: Option<Value<'a>>,
    /// A key that equals a reserved one of `tools/call` only after case folding.
    look_alike: Option<Str<'a>>,
}

/// The value of `arguments`.
#[derive(Debug, Default)]
enum Given<'a> {
    #[default]
    Nothing,
    Object(Arguments<'a>),
    Wrong,
}

impl<'a> Params<'a> {
    /// Reads one member.
    ///
    /// # Errors
    /// The first place where the text is not JSON.
    pub fn read(&mut self, reader: &mut Reader<'a, '_>, key: Str<'a>) -> Result<(), JsonError> {
        if key.is("arguments") && reader.peek() == Some(b'{') {
            self.arguments = Given::Object(Arguments::read(reader)?);
            return Ok(());
        }
        let value = reader.value(KeyRule::Unique)?;
        if key.is("arguments") {
            self.arguments = Given::Wrong;
        } else if key.is("name") {
            self.name = Some(value);
        } else if key.is("_meta") {
            self.note_meta(value);
        } else if key.is("task") {
            self.task = Some(value);
        } else if key.is("requestState") {
            self.request_state = Some(value);
        } else if key.is("requestId") {
            self.request_id = Some(value);
        } else if !key.is("inputResponses")
            && RESERVED.iter().any(|reserved| key.resembles(reserved))
        {
            self.look_alike = Some(key);
        }
        Ok(())
    }

    /// Reads `_meta` in one pass.
    fn note_meta(&mut self, meta: Value<'a>) {
        for member in meta.members() {
            if member.key.is(PROTOCOL_VERSION) {
                self.is_modern = true;
            } else if member.key.is("progressToken") {
                self.progress_token.get_or_insert(member.value);
            }
        }
    }

    /// True if the request is of 2026-07-28 or later: each request has its own era (contract W1).
    #[must_use]
    pub fn is_modern(&self) -> bool {
        self.is_modern
    }

    /// The token under which the server may report progress.
    #[must_use]
    pub fn progress_token(&self) -> Option<Value<'a>> {
        self.progress_token
    }

    /// `requestId` of a cancellation.
    #[must_use]
    pub fn request_id(&self) -> Option<Value<'a>> {
        self.request_id
    }

    /// A key that some servers would read as one of `tools/call`.
    #[must_use]
    pub fn look_alike(&self) -> Option<Str<'a>> {
        self.look_alike
    }
}

/// True if a `subscriptions/listen` with these params opens a stream for changes of the list of tools: it asks for
/// them, or names nothing that it asks for.
#[must_use]
pub fn listens_for_tools(params: Option<Value<'_>>) -> bool {
    let wanted = params.and_then(|params| params.member("notifications"));
    wanted.is_none_or(|wanted| {
        wanted.member("toolsListChanged").is_some_and(|tools| tools.text() == "true")
    })
}

/// A `tools/call` request.
#[derive(Debug)]
pub struct ToolCall<'a> {
    /// The tool, unescaped.
    pub name: Cow<'a, str>,
    /// The bytes of the name in the line, with its quotes.
    pub name_at: Range<usize>,
    /// `arguments`; absent counts as `{}`.
    pub arguments: Arguments<'a>,
    /// True for 2026-07-28 and later.
    pub modern: bool,
    /// True if the client asks for a task (2025-11-25): it cannot read a tool result then.
    pub task: bool,
    /// `requestState` of a multi-round-trip retry.
    pub request_state: Option<Str<'a>>,
}

impl<'a> ToolCall<'a> {
    /// A call that did not arrive as a line.
    #[must_use]
    pub fn of(name: &'a str, arguments: Arguments<'a>) -> Self {
        ToolCall {
            name: Cow::Borrowed(name),
            name_at: 0..0,
            arguments,
            modern: false,
            task: false,
            request_state: None,
        }
    }

    /// Reads the parameters of a call: `params` is their value, `seen` the members collected from it.
    ///
    /// # Errors
    /// The part with the wrong type (contract W3, -32602).
    pub fn read(params: Option<Value<'a>>, seen: Params<'a>) -> Result<Self, &'static str> {
        if !params.is_some_and(Value::is_object) {
            return Err("`params` of tools/call is not an object");
        }
        let not_a_string = "the tool's `name` is not a string";
        let spelt = seen.name.ok_or(not_a_string)?;
        let name = spelt.as_str().ok_or(not_a_string)?;
        if name.is_longer_than(MAX_NAME_BYTES) {
            return Err("the tool's `name` is over 1024 bytes long");
        }
        let name = name.decode().ok_or("the tool's `name` is not Unicode text")?;
        let modern = seen.is_modern();
        let arguments = match seen.arguments {
            Given::Nothing => Arguments::none(),
            Given::Object(arguments) => arguments,
            Given::Wrong => return Err("`arguments` is not an object"),
        };
        Ok(ToolCall {
            name,
            name_at: spelt.start()..spelt.end(),
            arguments,
            modern,
            task: seen.task.is_some(),
            request_state: seen.request_state.and_then(Value::as_str),
        })
    }
}

/// Decodes a tool's name from its spelling at [`ToolCall::name_at`].
#[must_use]
pub fn tool_name(spelt: &str) -> Option<Cow<'_, str>> {
    Value::proved(spelt).as_str().and_then(Str::decode)
}

/// The members of a server's `result` or `params` that callgate uses, collected while the frame is read.
#[derive(Debug, Default)]
pub struct ServerMembers<'a> {
    /// `isError` of a result is true.
    pub is_error: bool,
    /// `resultType` of a modern result is `input_required`.
    asks_for_input: bool,
    /// `requestState` of a modern result.
    request_state: Option<Str<'a>>,
}

impl<'a> ServerMembers<'a> {
    /// Reads one member. The keys of each element of `tools` must be unique (contract W6).
    ///
    /// # Errors
    /// The first place where the text is not JSON.
    pub fn read(
        &mut self,
        part: Part,
        reader: &mut Reader<'a, '_>,
        key: Str<'a>,
    ) -> Result<(), JsonError> {
        let is_result = part == Part::Result;
        let tools = is_result && key.is("tools") && reader.peek() == Some(b'[');
        let value = reader.value(if tools { KeyRule::OfElements } else { KeyRule::Any })?;
        if is_result && key.is("isError") {
            self.is_error = value.text() == "true";
        } else if is_result && key.is("resultType") {
            self.asks_for_input = value.as_str().is_some_and(|kind| kind.is("input_required"));
        } else if is_result && key.is("requestState") {
            self.request_state = value.as_str();
        }
        Ok(())
    }

    /// The state that a retry of the call must bring back.
    #[must_use]
    pub fn retry_state(&self) -> Option<Str<'a>> {
        self.request_state.filter(|_| self.asks_for_input)
    }
}
