//! The argument `--state`, shared by all commands that use counters.

use std::path::PathBuf;

use clap::Args;

use super::place::unexpanded_in;

/// The option `--state`.
#[derive(Debug, Args)]
pub struct StateArgs {
    /// Where counters are kept: a directory, `memory` for this run only, or `redis://…` [default: the user's state
    /// directory for callgate]
    #[arg(
        long,
        value_name = "STATE",
        env = "CALLGATE_STATE",
        hide_env_values = true,
        value_parser = parse_state,
        default_value = "",
        hide_default_value = true
    )]
    pub state: TypedState,
}

/// The help of `--state` for commands that use what sessions have stored, where `memory` makes no sense.
pub(super) const KEPT: &str = "Where counters and logs are kept: the directory or the `redis://…` given to `wrap` [default: the user's state directory for callgate]";

/// A value of `--state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypedState {
    /// The platform's directory for state (contract C5).
    Default,
    /// This directory.
    Directory(PathBuf),
    /// Counters of this run only.
    Memory,
    /// A Redis or Valkey server. The URL may hold secrets.
    Redis(String),
}

impl TypedState {
    /// The value of the environment variable, or the default.
    ///
    /// # Errors
    /// The variable holds neither a path nor a URL (contract C3).
    pub fn of_environment() -> Result<Self, String> {
        let Some(value) = std::env::var_os("CALLGATE_STATE") else {
            return Ok(TypedState::Default);
        };
        let read = value.to_str().ok_or_else(|| "it is not UTF-8".to_owned()).and_then(parse_state);
        read.map_err(|why| format!("failed to read `CALLGATE_STATE`: {why}"))
    }

    fn of(text: &str) -> Self {
        match text {
            "" => TypedState::Default,
            "memory" => TypedState::Memory,
            _ if is_url(text) => TypedState::Redis(text.to_owned()),
            path => TypedState::Directory(PathBuf::from(path)),
        }
    }
}

/// True for a URL with any scheme, in upper or lower case: a secret in a URL that is not Redis's must not become the
/// name of a directory.
fn is_url(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let Some((scheme, rest)) = text.trim_start().split_once(':') else { return false };
    let known = ["redis", "rediss", "redis+unix", "unix", "valkey", "valkeys"];
    let is_known = known.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    is_known || rest.starts_with("//") && !scheme.is_empty() && scheme.chars().all(is_letter)
}

/// Parses `--state`, and rejects a path that no shell has expanded. Errors in a URL are reported when it is opened.
pub(super) fn parse_state(text: &str) -> Result<TypedState, String> {
    match TypedState::of(text) {
        TypedState::Directory(path) => match unexpanded_in(path.as_os_str()) {
            Some(why) => Err(why),
            None => Ok(TypedState::Directory(path)),
        },
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::TypedState;

    #[test]
    fn no_url_is_taken_for_a_directory() {
        for url in [
            "redis://h",
            "Redis://:hush@h",
            "VALKEYS://h",
            " redis://:hush@h",
            "http://:hush@h",
            "redis:hush",
        ] {
            assert_eq!(TypedState::of(url), TypedState::Redis(url.to_owned()), "{url}");
        }
        for path in ["/var/lib/x", "redis", "a:b", "./redis://h", "c:/x", "://", "é://h"] {
            assert_eq!(TypedState::of(path), TypedState::Directory(path.into()), "{path}");
        }
    }
}
