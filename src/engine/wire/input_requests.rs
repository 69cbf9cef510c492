//! The methods that a server's message asks the client to run: `inputRequests` at any depth (multi round trip and
//! tasks, MCP 2026-07-28), and errors that require an elicitation (MCP 2025-11-25); contract P15.

use super::frame::{Frame, MAX_NAME_BYTES};
use crate::engine::json::reader::INPUT_REQUESTS;
use crate::engine::json::value::{Kind, Str, Value, proved_string_len};

/// The error of a server that needs the client to open a URL first:
/// <https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#url-elicitation-required-error>
const URL_ELICITATION_REQUIRED: i64 = -32042;
/// The method that this error asks for.
const ELICITATION: &str = "elicitation/create";

/// The most requests for input in one message: each is compared with every pattern of the policy.
const MAX_INPUT_REQUESTS: usize = 1024;

/// The most codes compared in one error. An error with more codes counts as one that requires an elicitation.
const MAX_CODES: usize = 64;

/// Finds the first method that the message asks the client to run and for which `find` returns a value.
///
/// # Errors
/// The message has too many requests for input, or a method that is too long.
pub fn find_input_method<T>(
    frame: &Frame<'_>,
    find: impl Fn(&str) -> Option<T>,
) -> Result<Option<(T, String)>, &'static str> {
    if frame.error.is_some_and(asks_for_elicitation)
        && let Some(found) = find(ELICITATION)
    {
        return Ok(Some((found, ELICITATION.to_owned())));
    }
    if !frame.has_input_requests {
        return Ok(None);
    }
    let mut count = 0_usize;
    for part in [frame.params, frame.result, frame.error].into_iter().flatten() {
        let mut finder = MethodFinder::default();
        while let Some(method) = finder.next_method(part) {
            count = count.saturating_add(1);
            if count > MAX_INPUT_REQUESTS || method.is_longer_than(MAX_NAME_BYTES) {
                return Err("too many `inputRequests`, or a method of over 1024 bytes in one");
            }
            let method = method.decode_lossy();
            if let Some(found) = find(&method) {
                return Ok(Some((found, method.into_owned())));
            }
        }
    }
    Ok(None)
}

/// True if a member that some client could read as the error's code says that an elicitation is required.
fn asks_for_elicitation(error: Value<'_>) -> bool {
    let codes = error.members().filter(|member| member.key.resembles("code"));
    codes.enumerate().any(|(nth, member)| {
        nth >= MAX_CODES
            || match member.value.kind() {
                Kind::Number(code) => code.canonical() == URL_ELICITATION_REQUIRED.to_string(),
                Kind::String(code) => code
                    .decode()
                    .is_some_and(|code| code.trim().parse() == Ok(URL_ELICITATION_REQUIRED)),
                _ => false,
            }
    })
}

/// The roles of a value. It may have several at once, as some client could read `inputRequests` as the name of a
/// request.
#[derive(Debug, Clone, Copy, Default)]
struct Role {
    /// All requests: an object or a list of them.
    requests: bool,
    /// One request.
    request: bool,
    /// The method of a request.
    method: bool,
}

impl Role {
    /// The role of the value under `key` in an object of this role.
    fn under(self, key: Str<'_>) -> Self {
        Role {
            requests: key.resembles(INPUT_REQUESTS),
            request: self.requests,
            // A request may repeat a key; every key that some client could read as `method` counts.
            method: self.request && key.resembles("method"),
        }
    }

    /// The role of an element of an array of this role.
    fn element(self) -> Self {
        Role { request: self.requests, ..Role::default() }
    }
}

/// Finds methods in one pass over a value of any depth, with a role for each level.
#[derive(Debug, Default)]
struct MethodFinder {
    at: usize,
    levels: Vec<Role>,
    /// The role of the next value, known from its key.
    next: Option<Role>,
}

impl MethodFinder {
    /// The next method in a value of validated JSON.
    fn next_method<'a>(&mut self, value: Value<'a>) -> Option<Str<'a>> {
        let text = value.text();
        while let Some(&byte) = text.as_bytes().get(self.at) {
            match byte {
                b'"' => {
                    let rest = text.get(self.at..).unwrap_or_default();
                    let string = rest.get(..proved_string_len(rest.as_bytes())).unwrap_or_default();
                    self.at = self.at.saturating_add(string.len().max(1));
                    let behind = rest.get(string.len()..).unwrap_or_default();
                    let is_key = behind.trim_start().starts_with(':');
                    let Some(string) = Value::proved(string).as_str() else { continue };
                    if is_key {
                        let around = self.levels.last().copied().unwrap_or_default();
                        self.next = Some(around.under(string));
                    } else if self.role().method {
                        return Some(string);
                    }
                    continue;
                }
                b'{' | b'[' => {
                    let role = self.role();
                    self.levels.push(role);
                }
                b'}' | b']' => {
                    self.levels.pop();
                    self.next = None;
                }
                b',' => self.next = None,
                _ => {}
            }
            self.at = self.at.saturating_add(1);
        }
        None
    }

    /// The role of the value that begins here.
    fn role(&mut self) -> Role {
        let around = self.levels.last().copied().unwrap_or_default();
        self.next.take().unwrap_or_else(|| around.element())
    }
}

#[cfg(test)]
mod tests {
    use super::MethodFinder;
    use crate::engine::json::value::Value;

    /// contract P15: at any depth, in objects and lists, but not in values that only look similar.
    #[test]
    fn methods_are_found_at_any_depth() {
        let deep = |inner: &str| format!("{}{inner}{}", r#"{"a":["#.repeat(200), "]}".repeat(200));
        let asks = r#"{"inputRequests":{"a":{"method":"x"}}}"#;
        let rows: Vec<(String, &[&str])> = vec![
            (asks.to_owned(), &["x"]),
            (deep(asks), &["x"]),
            (r#"[1,"a",{"INPUTREQUESTS" : [ {"b":{},"Method" : "x"} , {"method":"y"}]}]"#.into(), &["x", "y"]),
            (r#"{"inputRequests":{"inputRequests":{"method":"x","k":{"method":"y"}}}}"#.into(), &["x", "y"]),
            (r#"{"tasks":[{"inputRequests":{"a":{"method":"x"}}},{"inputRequests":{"a":{"method":"y"}}}]}"#.into(), &["x", "y"]),
            (r#"{"inputRequests":{"a":{"params":{"method":"x"}}},"method":"y"}"#.into(), &[]),
            (r#"{"inputRequests":{"method":"x"}}"#.into(), &[]),
            (r#"{"a":["inputRequests",{"b":{"method":"x"}}]}"#.into(), &[]),
            (r#"{"a":"{\"inputRequests\":{\"a\":{\"method\":\"x\"}}}"}"#.into(), &[]),
            (r#"{"inputRequests":{"a":{"method":1,"b":"x"}}}"#.into(), &[]),
        ];
        for (text, methods) in rows {
            let mut finder = MethodFinder::default();
            let value = Value::proved(&text);
            let found: Vec<_> = std::iter::from_fn(|| {
                finder.next_method(value).map(crate::engine::json::value::Str::raw)
            })
            .collect();
            assert_eq!(found, methods, "{text}");
        }
    }
}
