//! The names of counters in Redis.

use std::fmt::Write as _;

use crate::engine::limits::{CounterKey, Scope, Window};
use crate::shell::digest::Hash;

/// The prefix of all keys.
pub(super) const PREFIX: &str = "callgate:";
/// The longest part of a key, in bytes; a longer one is cut, and its hash keeps it distinct.
const MAX_PART: usize = 64;
/// The longest name stored for display, in bytes.
const MAX_SHOWN: usize = 256;

/// The owner of the counters: server, grant and run.
#[derive(Debug, Clone)]
pub(super) struct RedisNames {
    pub(super) server: String,
    pub(super) grant: String,
    pub(super) run: String,
}

impl RedisNames {
    /// The key of the server's mark. The text in braces selects the node of a cluster, so all keys of one server are on
    /// one node.
    pub(super) fn mark(&self) -> String {
        format!("{PREFIX}{{{}}}", part(&self.server))
    }

    /// The key of a counter.
    pub(super) fn key(&self, counter: &CounterKey) -> String {
        let mark = self.mark();
        let scope = counter.scope.word();
        let holder = part(self.holder(counter.scope));
        let (name, window) = (part(&counter.name), window_name(counter.window));
        format!("{mark}:{scope}:{holder}:{name}:{window}")
    }

    /// The owner of a counter of this scope.
    pub(super) fn holder(&self, scope: Scope) -> &str {
        match scope {
            Scope::Grant => &self.grant,
            Scope::Session => &self.run,
            Scope::Server => "",
        }
    }
}

/// A name as part of a key; distinct names stay distinct.
fn part(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    if escaped.len() > MAX_PART {
        escaped.truncate(MAX_PART / 2);
        escaped.push('~');
        let hash = Hash::of(name.as_bytes());
        escaped.push_str(hash.as_str().get(..MAX_PART / 2).unwrap_or(hash.as_str()));
    }
    escaped
}

/// A name as it is stored for display.
pub(super) fn shown(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_SHOWN)).unwrap_or_default()
}

/// A window as it is stored: its seconds, followed by `c` for a calendar window.
pub(super) fn window_name(window: Window) -> String {
    match window {
        Window::Sliding(seconds) => seconds.to_string(),
        Window::Calendar(seconds) => format!("{seconds}c"),
        Window::Session => "session".to_owned(),
    }
}

/// The inverse of [`window_name`].
pub(super) fn window(name: &str) -> Option<Window> {
    match (name, name.strip_suffix('c')) {
        ("session", _) => Some(Window::Session),
        (_, Some(seconds)) => seconds.parse().ok().map(Window::Calendar),
        (seconds, None) => seconds.parse().ok().map(Window::Sliding),
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PART, part, window, window_name};
    use crate::engine::limits::Window;

    #[test]
    fn names_stay_apart_and_short() {
        let long = "a".repeat(5000);
        let names = ["", "a", "A", "a:b", "a%3Ab", "{a}", "ä", "a b", &long, &format!("{long}b")];
        let parts: Vec<String> = names.iter().map(|name| part(name)).collect();
        for (nth, one) in parts.iter().enumerate() {
            assert!(one.len() <= MAX_PART + 1, "{one}");
            assert!(
                one.bytes().all(|b| b.is_ascii_graphic() && !b":{}*?[]\\".contains(&b)),
                "{one}"
            );
            assert!(!parts.iter().skip(nth + 1).any(|other| other == one), "{one}");
        }
    }

    #[test]
    fn windows_are_kept_as_they_are() {
        for kept in [Window::Sliding(60), Window::Calendar(604_800), Window::Session] {
            assert_eq!(window(&window_name(kept)), Some(kept));
        }
    }
}
