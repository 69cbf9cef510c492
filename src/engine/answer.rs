//! Messages that callgate writes itself: denials and errors (SPEC W2–W4). Each is one line with its line feed.

use super::frame::{Refusal, RefusalAnswer};

/// JSON-RPC error code of a denial where a tool result cannot be the answer.
pub const FORBIDDEN: i32 = 403;
/// The same for a limit.
pub const TOO_MANY: i32 = 429;

/// Facts of a decision for programs; stands under `callgate/decision`.
#[derive(Debug, Clone)]
pub struct DecisionFacts<'a> {
    /// `denied` or `approval_required`.
    pub outcome: &'static str,
    /// The rule that made the decision.
    pub rule: &'a str,
    /// For a limit: milliseconds until the call would have room.
    pub retry_after_ms: Option<u64>,
}

impl DecisionFacts<'_> {
    fn json(&self) -> String {
        let rule = json(self.rule);
        let retry = self
            .retry_after_ms
            .map_or_else(String::new, |ms| [r#","retry_after_ms":"#, &ms.to_string()].concat());
        [r#"{"outcome":""#, self.outcome, r#"","rule":"#, &rule, &retry, "}"].concat()
    }
}

/// A denial as a tool result, which the model gets to read. `id` is the client's, as it was spelt.
#[must_use]
pub fn tool_result(id: &str, text: &str, modern: bool, facts: &DecisionFacts<'_>) -> Vec<u8> {
    line(&[
        r#"{"jsonrpc":"2.0","id":"#,
        id,
        r#","result":{"#,
        if modern { r#""resultType":"complete","# } else { "" },
        r#""content":[{"type":"text","text":"#,
        &json(text),
        r#"}],"isError":true,"_meta":{"callgate/decision":"#,
        &facts.json(),
        "}}}",
    ])
}

/// A denial as a JSON-RPC error, for requests whose result could not carry it.
#[must_use]
pub fn denial_error(id: &str, code: i32, message: &str, facts: &DecisionFacts<'_>) -> Vec<u8> {
    line(&[
        r#"{"jsonrpc":"2.0","id":"#,
        id,
        r#","error":{"code":"#,
        &code.to_string(),
        r#","message":"#,
        &json(message),
        r#","data":{"callgate/decision":"#,
        &facts.json(),
        "}}}",
    ])
}

/// A plain JSON-RPC error; `id` is null where none is known.
#[must_use]
pub fn error(id: Option<&str>, code: i32, message: &str) -> Vec<u8> {
    line(&[
        r#"{"jsonrpc":"2.0","id":"#,
        id.unwrap_or("null"),
        r#","error":{"code":"#,
        &code.to_string(),
        r#","message":"#,
        &json(message),
        "}}",
    ])
}

/// The notice that the list of tools has changed; on a stream of `subscriptions/listen` it carries the id of that
/// request, as it was spelt.
#[must_use]
pub fn list_changed(stream: Option<&str>) -> Vec<u8> {
    const NOTICE: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed""#;
    const STREAM: &str = r#","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"#;
    stream.map_or_else(|| line(&[NOTICE, "}"]), |id| line(&[NOTICE, STREAM, id, "}}}"]))
}

/// The answers to a frame that was refused; empty if its sender expects none.
#[must_use]
pub fn refusal(refusal: &Refusal) -> Vec<u8> {
    let one = |id: &Option<String>| error(id.as_deref(), refusal.code, &refusal.message);
    match &refusal.answer {
        RefusalAnswer::Id(id) => one(id),
        RefusalAnswer::Each(ids) => ids.iter().flat_map(one).collect(),
        RefusalAnswer::Nobody => Vec::new(),
    }
}

/// Denials are answered on the hot path, too: one allocation.
fn line(parts: &[&str]) -> Vec<u8> {
    let parts = parts.iter().copied().chain(["\n"]);
    let mut line = Vec::with_capacity(parts.clone().map(str::len).sum());
    parts.for_each(|part| line.extend_from_slice(part.as_bytes()));
    line
}

fn json(text: &str) -> String {
    // A string has no way to fail.
    serde_json::to_string(text).unwrap_or_else(|_| "null".to_owned())
}
