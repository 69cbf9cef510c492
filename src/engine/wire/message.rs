//! Messages that callgate writes: denials and errors (contract W2–W4). Each is one line with its line feed.

use super::frame::{Refusal, RefusalAnswer};
use crate::engine::outcome::Outcome;
use crate::engine::text::escape::push_json_string;

/// The JSON-RPC error code of a denial for requests that cannot be answered with a tool result.
pub const FORBIDDEN: i32 = 403;
/// The JSON-RPC error code when a limit denies such a request.
pub const TOO_MANY: i32 = 429;

/// Machine-readable facts of a decision, written as `callgate/decision`.
#[derive(Debug, Clone)]
pub struct DecisionFacts<'a> {
    /// The result of the decision.
    pub outcome: Outcome,
    /// The rule that made the decision.
    pub rule: &'a str,
    /// For a limit: milliseconds until the call would have room.
    pub retry_after_ms: Option<u64>,
}

/// A denial as a tool result, which the model reads. `id` is the client's, as spelt.
#[must_use]
pub fn tool_result(id: &str, text: &str, modern: bool, facts: &DecisionFacts<'_>) -> Vec<u8> {
    MessageLine::answer(id)
        .raw(r#","result":{"#)
        .raw(if modern { r#""resultType":"complete","# } else { "" })
        .raw(r#""content":[{"type":"text","text":"#)
        .json(text)
        .raw(r#"}],"isError":true,"_meta":{"#)
        .facts(facts)
        .end("}}}")
}

/// A denial as a JSON-RPC error, for requests that cannot be answered with a tool result.
#[must_use]
pub fn denial_error(id: &str, code: i32, message: &str, facts: &DecisionFacts<'_>) -> Vec<u8> {
    MessageLine::error(id, code, message).raw(r#","data":{"#).facts(facts).end("}}}")
}

/// A plain JSON-RPC error; `id` is null if unknown.
#[must_use]
pub fn error(id: Option<&str>, code: i32, message: &str) -> Vec<u8> {
    MessageLine::error(id.unwrap_or("null"), code, message).end("}}")
}

/// The notification that the list of tools has changed. On a stream of `subscriptions/listen` it carries the id of that
/// request, as spelt.
#[must_use]
pub fn list_changed(stream: Option<&str>) -> Vec<u8> {
    let notice =
        MessageLine::new(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed""#);
    let Some(id) = stream else { return notice.end("}") };
    let stream = r#","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"#;
    notice.raw(stream).raw(id).end("}}}")
}

/// The answer to a refused frame; empty if the sender expects none, and for a batch, which [`super::frame::batch`] answers.
#[must_use]
pub fn refusal(refusal: &Refusal) -> Vec<u8> {
    let one = |id: &Option<String>| error(id.as_deref(), refusal.code, &refusal.message);
    match &refusal.answer {
        RefusalAnswer::Id(id) => one(id),
        RefusalAnswer::Batch | RefusalAnswer::Nobody => Vec::new(),
    }
}

/// A line under construction. Denials are on the hot path, so the line is built in its final buffer.
struct MessageLine {
    bytes: Vec<u8>,
}

impl MessageLine {
    fn new(begin: &str) -> Self {
        MessageLine { bytes: Vec::with_capacity(512) }.raw(begin)
    }

    fn answer(id: &str) -> Self {
        MessageLine::new(r#"{"jsonrpc":"2.0","id":"#).raw(id)
    }

    fn error(id: &str, code: i32, message: &str) -> Self {
        let line = MessageLine::answer(id).raw(r#","error":{"code":"#).raw(&code.to_string());
        line.raw(r#","message":"#).json(message)
    }

    fn facts(self, facts: &DecisionFacts<'_>) -> Self {
        let line = self.raw(r#""callgate/decision":{"outcome":""#).raw(facts.outcome.word());
        let line = line.raw(r#"","rule":"#).json(facts.rule);
        let line = match facts.retry_after_ms {
            Some(ms) => line.raw(r#","retry_after_ms":"#).raw(&ms.to_string()),
            None => line,
        };
        line.raw("}")
    }

    /// Appends text that is JSON already.
    fn raw(mut self, json: &str) -> Self {
        self.bytes.extend_from_slice(json.as_bytes());
        self
    }

    /// Appends a text as a JSON string.
    fn json(mut self, text: &str) -> Self {
        push_json_string(&mut self.bytes, text);
        self
    }

    fn end(self, end: &str) -> Vec<u8> {
        self.raw(end).raw("\n").bytes
    }
}
