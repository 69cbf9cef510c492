//! Translates Intercept's paths of arguments to callgate's (contract P6).

/// The path of `args.a.b`, where dots stand between keys and nothing else means anything; `None` for any other text.
#[must_use]
pub(crate) fn of_argument(text: &str) -> Option<String> {
    let keys = text.strip_prefix("args.")?;
    keys.split('.').try_fold("args".to_owned(), |mut path, key| {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$');
        if key.is_empty() {
            return None;
        }
        if key.chars().all(is_word) {
            path.push('.');
            path.push_str(key);
        } else {
            path.push('[');
            path.push_str(&serde_json::to_string(key).ok()?);
            path.push(']');
        }
        Some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::of_argument;
    use crate::engine::policy::path::ArgPath;

    #[test]
    fn keys_stay_keys() {
        let rows = [
            ("args.a", "args.a"),
            ("args.a.b-c.0", "args.a.b-c.0"),
            ("args.items[0]", r#"args["items[0]"]"#),
            ("args.*", r#"args["*"]"#),
            (r#"args.a"]["b"#, r#"args["a\"][\"b"]"#),
            ("args.größe.x y", r#"args.größe["x y"]"#),
        ];
        for (text, path) in rows {
            assert_eq!(of_argument(text).as_deref(), Some(path));
            assert!(ArgPath::parse(path).is_ok(), "{path}");
        }
        for text in ["args", "args.", "args..a", "args.a.", "arg.a", "state.a.b", ""] {
            assert_eq!(of_argument(text), None, "{text}");
        }
    }
}
