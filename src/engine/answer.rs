//! Messages that callgate writes itself: denials and errors (SPEC W2–W4). Each is one line with its line feed.

use serde::Serialize;

use super::frame::{Refusal, RefusalAnswer};

/// JSON-RPC error code of a denial where a tool result cannot be the answer.
pub const FORBIDDEN: i32 = 403;
/// The same for a limit.
pub const TOO_MANY: i32 = 429;

/// Facts of a decision for programs; stands under `callgate/decision`.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionFacts<'a> {
    /// `denied` or `approval_required`.
    pub outcome: &'static str,
    /// The rule that made the decision.
    pub rule: &'a str,
    /// For a limit: milliseconds until the call would have room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// A denial as a tool result, which the model gets to read. `id` is the client's, as it was spelt.
#[must_use]
pub fn tool_result(id: &str, text: &str, modern: bool, facts: &DecisionFacts<'_>) -> Vec<u8> {
    let result_type = if modern { r#""resultType":"complete","# } else { "" };
    let text = json(text);
    let facts = json(facts);
    format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{{result_type}"#,
            r#""content":[{{"type":"text","text":{text}}}],"isError":true,"#,
            r#""_meta":{{"callgate/decision":{facts}}}}}}}"#,
            "\n"
        ),
        id = id,
        result_type = result_type,
        text = text,
        facts = facts
    )
    .into_bytes()
}

/// The notice that the list of tools has changed; on a stream of `subscriptions/listen` it carries the id of that
/// request, as it was spelt.
#[must_use]
pub fn list_changed(stream: Option<&str>) -> Vec<u8> {
    let params = stream.map_or_else(String::new, |id| {
        format!(r#","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}}}"#)
    });
    let method = r#""method":"notifications/tools/list_changed""#;
    format!("{{\"jsonrpc\":\"2.0\",{method}{params}}}\n").into_bytes()
}

/// A denial as a JSON-RPC error, for requests whose result could not carry it.
#[must_use]
pub fn denial_error(id: &str, code: i32, message: &str, facts: &DecisionFacts<'_>) -> Vec<u8> {
    let message = json(message);
    let facts = json(facts);
    format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"#,
            r#""data":{{"callgate/decision":{facts}}}}}}}"#,
            "\n"
        ),
        id = id,
        code = code,
        message = message,
        facts = facts
    )
    .into_bytes()
}

/// A plain JSON-RPC error; `id` is null where none is known.
#[must_use]
pub fn error(id: Option<&str>, code: i32, message: &str) -> Vec<u8> {
    let id = id.unwrap_or("null");
    let message = json(message);
    let error =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#);
    let mut line = error.into_bytes();
    line.push(b'\n');
    line
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

fn json(value: &(impl Serialize + ?Sized)) -> String {
    // Strings and structs of strings and numbers have no way to fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}
