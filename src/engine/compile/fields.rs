//! Reading a policy file field by field, so that every problem is found at once, each with its place (contract P1).
//! Nothing here knows what the fields mean.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::hints::{self, Mistake};
use super::shape::Shape;
use crate::engine::json::value::{Kind, Member, Str, Value, proved_string_len};
use crate::engine::text::name::same_but_for_case;
use crate::engine::text::shorten::excerpt;

/// Something that is wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where its first character stands, in bytes from the start of the file.
    pub at: usize,
    /// RFC 6901 pointer of the member it is about; empty for the whole document.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What would be right, if that can be told.
    pub help: Option<String>,
}

/// A position in a text: line and column, both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Position {
    /// The position of the byte `at` in `text`.
    #[must_use]
    pub fn of(at: usize, text: &[u8]) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start =
            memchr::memrchr(b'\n', before).map_or(0, |newline| newline.saturating_add(1));
        let line = memchr::memchr_iter(b'\n', before).count().saturating_add(1);
        let begun = String::from_utf8_lossy(before.get(line_start..).unwrap_or_default());
        Position { line, column: begun.chars().count().saturating_add(1) }
    }
}

/// The token that begins at the byte `at` of `text`, which may be no JSON at all: a string with its quotes, a number
/// or word, else one character; nothing at the end of the text or of a line.
#[must_use]
pub fn token_at(text: &str, at: usize) -> Range<usize> {
    let rest = text.get(at..).unwrap_or_default();
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_' | '$');
    let len = match rest.chars().next() {
        None | Some('\n' | '\r') => 0,
        // A string that is not closed ends with its line.
        Some('"') => proved_string_len(rest.as_bytes()).min(line_len(rest)),
        Some(c) if in_word(c) => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
        Some(c) => c.len_utf8(),
    };
    at..at.saturating_add(len)
}

/// The bracket that is open at the end of a text which is JSON as far as it goes: where, and which.
#[must_use]
pub fn open_bracket(text: &str) -> Option<(usize, char)> {
    let mut open = Vec::new();
    let mut at = 0_usize;
    while let Some(rest) = text.as_bytes().get(at..).filter(|rest| !rest.is_empty()) {
        let step = match rest.first() {
            Some(b'"') => proved_string_len(rest),
            Some(bracket @ (b'{' | b'[')) => {
                open.push((at, char::from(*bracket)));
                1
            }
            Some(b'}' | b']') => {
                open.pop();
                1
            }
            _ => 1,
        };
        at = at.saturating_add(step);
    }
    open.pop()
}

/// Where the first line of `text` ends.
fn line_len(text: &str) -> usize {
    memchr::memchr2(b'\n', b'\r', text.as_bytes()).unwrap_or(text.len())
}

/// A value of the file that knows its pointer.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// The value.
    pub value: Value<'a>,
    /// RFC 6901.
    pub pointer: String,
}

impl<'a> Node<'a> {
    /// The member or element `name` of this node.
    #[must_use]
    pub fn child(&self, name: &str, value: Value<'a>) -> Self {
        Node { value, pointer: join(&self.pointer, name) }
    }
}

/// More problems than this are not reported.
pub const MAX_PROBLEMS: usize = 100;

/// The longest name of a tool or method that a policy can hold, in bytes. MCP allows tools 128.
pub const MAX_NAME_BYTES: usize = 256;

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// Adds one at the start of `node`'s value.
    pub fn add(&mut self, node: &Node<'_>, message: impl Into<String>, help: Option<String>) {
        self.add_at(node.value.start(), node.pointer.clone(), message, help);
    }

    /// Adds one at a byte of the file.
    pub fn add_at(
        &mut self,
        at: usize,
        pointer: String,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(Problem { at, pointer, message: message.into(), help });
        }
    }

    /// All of them in file order.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| problem.at);
        self.found.dedup();
        self.found
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Adds `expected X, found Y`.
    pub fn wrong_type(&mut self, node: &Node<'_>, expected: &str) {
        self.add(node, format!("expected {expected}, found {}", describe(node.value)), None);
    }
}

/// What a value is, for a message.
fn describe(value: Value<'_>) -> String {
    match value.kind() {
        Kind::Null => "null".to_owned(),
        Kind::Bool(_) | Kind::Number(_) => format!("`{}`", name_for_problem(value.text())),
        Kind::String(string) => {
            format!("the string `{}`", name_for_problem(&string.decode_lossy()))
        }
        Kind::Array => "a list".to_owned(),
        Kind::Object => "an object".to_owned(),
    }
}

/// User text in a message, cut to a length that people read.
#[must_use]
pub fn name_for_problem(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    excerpt(text, MAX_CHARS)
}

/// An object of the file, whose fields are all known or reported.
#[derive(Debug)]
pub struct Fields<'a> {
    node: Node<'a>,
    members: Vec<Member<'a>>,
    /// Members with a wrong name, by the name that was meant; their values are checked too.
    misnamed: Vec<(&'static str, Member<'a>)>,
}

impl<'a> Fields<'a> {
    /// Opens `node` as an object of a shape. `None`, with a problem, if it is no object. A field with another name is
    /// a problem, and counts as the one that was meant.
    pub fn open(node: &Node<'a>, shape: Shape, problems: &mut Problems) -> Option<Self> {
        if !node.value.is_object() {
            problems.wrong_type_with(node, "an object", Some(shape.help.to_owned()));
            return None;
        }
        let known = shape.fields;
        let members: Vec<Member<'a>> = node.value.members().collect();
        let mut misnamed = Vec::new();
        for member in members.iter().filter(|member| !known.iter().any(|name| member.key.is(name)))
        {
            let key = name_for_problem(&member.key.decode_lossy());
            let pointer = node.child(&key, member.value).pointer;
            let mistake = hints::meant(&key, shape.mistakes);
            let field = |name: &str| known.iter().copied().find(|known| *known == name);
            let meant = match mistake {
                Some(meant) => field(meant),
                None => did_you_mean(&key, known).and_then(field),
            };
            let help = match (meant, mistake) {
                (Some(name), _) => format!("did you mean `{name}`?"),
                (None, Some(help)) => help.to_owned(),
                (None, None) => format!("known here: {}", quoted_list(known)),
            };
            // An empty one says nothing.
            let is_empty = matches!(member.value.text(), "{}" | "[]");
            misnamed.extend(meant.filter(|_| !is_empty).map(|name| (name, *member)));
            let message = format!("unknown field `{key}`");
            problems.add_at(member.key.start().saturating_sub(1), pointer, message, Some(help));
        }
        Some(Fields { node: node.clone(), members, misnamed })
    }

    /// The field `name`, if the object has it, under this name or one that was meant to be it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        if let Some(member) = self.members.iter().find(|member| member.key.is(name)) {
            return Some(self.node.child(name, member.value));
        }
        let (_, member) = self.misnamed.iter().find(|(meant, _)| *meant == name)?;
        Some(self.node.child(&member.key.decode_lossy(), member.value))
    }

    /// The field `name`; a problem if the object lacks it.
    pub fn require(&self, name: &str, help: &str, problems: &mut Problems) -> Option<Node<'a>> {
        let found = self.get(name);
        if !self.members.iter().any(|member| member.key.is(name)) {
            problems.add(&self.node, format!("missing field `{name}`"), Some(help.to_owned()));
        }
        found
    }

    /// The object itself.
    #[must_use]
    pub fn node(&self) -> &Node<'a> {
        &self.node
    }
}

/// A member whose key is a name that the policy's author chose.
#[derive(Debug)]
pub struct NamedEntry<'a> {
    /// The name.
    pub name: String,
    /// Where its opening quote stands, in bytes from the start of the file.
    pub name_at: usize,
    /// The value.
    pub node: Node<'a>,
}

/// The entries of an object; nothing, with a problem, for any other value. `example` is what one looks like. An entry
/// with a bad name is a problem, and its value is looked at all the same.
pub fn entries<'a>(node: &Node<'a>, example: &str, problems: &mut Problems) -> Vec<NamedEntry<'a>> {
    if !node.value.is_object() {
        let help = format!("it looks like this: `{example}`");
        problems.wrong_type_with(node, "an object", Some(help));
        return Vec::new();
    }
    let mut entries = Vec::new();
    for member in node.value.members() {
        let name_at = member.key.start().saturating_sub(1);
        let name = member.key.decode_lossy();
        if member.key.decode().is_none() {
            let message = "a name with half a surrogate pair is no Unicode text";
            problems.add_at(name_at, node.pointer.clone(), message, None);
        } else if name.len() > MAX_NAME_BYTES {
            problems.add_at(name_at, node.pointer.clone(), too_long(), None);
        }
        let node = node.child(&name, member.value);
        entries.push(NamedEntry { name: name.into_owned(), name_at, node });
    }
    entries
}

/// The name or pattern of a tool; `None`, with a problem, for any other value.
pub fn name(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let name = string(node, problems)?;
    if name.len() > MAX_NAME_BYTES {
        problems.add(node, too_long(), None);
        return None;
    }
    Some(name)
}

fn too_long() -> String {
    format!("a name is at most {MAX_NAME_BYTES} bytes long")
}

/// The elements of a list; nothing, with a problem, for any other value.
pub fn elements<'a>(node: &Node<'a>, problems: &mut Problems) -> Vec<Node<'a>> {
    if !matches!(node.value.kind(), Kind::Array) {
        let value = node.value.text();
        let help = match node.value.kind() {
            Kind::Null => "leave it out, or write a list: `[]`".to_owned(),
            _ if value.len() <= 40 && !value.contains('\n') => format!("write a list: `[{value}]`"),
            _ => "write a list: put `[` before it and `]` behind it".to_owned(),
        };
        problems.wrong_type_with(node, "a list", Some(help));
        return Vec::new();
    }
    let numbered = (0_usize..).zip(node.value.elements());
    numbered.map(|(nth, value)| node.child(&nth.to_string(), value)).collect()
}

/// A string; `None`, with a problem, for any other value.
pub fn string(node: &Node<'_>, problems: &mut Problems) -> Option<String> {
    let Some(string) = node.value.as_str() else {
        let is_plain = matches!(node.value.kind(), Kind::Bool(_) | Kind::Number(_));
        let help = is_plain.then(|| in_quotes(node.value));
        problems.wrong_type_with(node, "a string", help);
        return None;
    };
    let text = string.decode();
    if text.is_none() {
        problems.add(node, "a string with half a surrogate pair is no Unicode text", None);
    }
    text.map(Cow::into_owned)
}

/// `true` or `false`; `None`, with a problem, for any other value.
pub fn boolean(node: &Node<'_>, problems: &mut Problems) -> Option<bool> {
    if let Kind::Bool(value) = node.value.kind() {
        return Some(value);
    }
    let text = node.value.as_str().and_then(Str::decode).unwrap_or_default();
    let help = match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some("write `true`, without quotes"),
        "false" | "no" | "off" => Some("write `false`, without quotes"),
        _ => None,
    };
    problems.wrong_type_with(node, "`true` or `false`", help.map(str::to_owned));
    None
}

/// What to say of a number, `true` or `false` where a text is wanted.
fn in_quotes(value: Value<'_>) -> String {
    format!("write it in quotes: `\"{}\"`", name_for_problem(value.text()))
}

/// One of a set of words, as the value that it stands for. Any other text is a problem; `mistakes` may tell what was
/// meant.
pub fn word<T: Copy>(
    node: &Node<'_>,
    words: &[(&str, T)],
    mistakes: &[Mistake],
    problems: &mut Problems,
) -> Option<T> {
    word_or(node, words, |text| hints::meant(text, mistakes).map(str::to_owned), problems)
}

/// [`word`] with a function that returns the word that was meant, or advice.
pub fn word_or<T: Copy>(
    node: &Node<'_>,
    words: &[(&str, T)],
    hint: impl FnOnce(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<T> {
    let names: Vec<&str> = words.iter().map(|&(name, _)| name).collect();
    let Some(text) = node.value.as_str().and_then(Str::decode) else {
        let quoted = in_quotes(node.value);
        let is_known = names.contains(&node.value.text());
        problems.wrong_type_with(node, &alternatives(&names), is_known.then_some(quoted));
        return None;
    };
    let of = |name: &str| words.iter().find(|&&(known, _)| known == name).map(|&(_, value)| value);
    if let Some(value) = of(&text) {
        return Some(value);
    }
    let hint = hint(&text);
    let meant = match &hint {
        Some(hint) => names.iter().copied().find(|name| name == hint),
        None => did_you_mean(&text, &names),
    };
    let help = meant.map(|name| format!("did you mean `{name}`?")).or(hint);
    problems.wrong_type_with(node, &alternatives(&names), help);
    meant.and_then(of)
}

impl Problems {
    /// Adds `expected X, found Y`, and what would have been right.
    pub fn wrong_type_with(&mut self, node: &Node<'_>, expected: &str, help: Option<String>) {
        self.add(node, format!("expected {expected}, found {}", describe(node.value)), help);
    }
}

/// Words of which one was expected.
#[must_use]
pub fn alternatives(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => format!("the string `\"{only}\"`"),
        [first @ .., last] => format!("{} or `{last}`", quoted_list(first)),
    }
}

/// Words, each in backticks.
#[must_use]
pub fn quoted_list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The known name that is nearest to what was typed, if one is near.
#[must_use]
pub fn did_you_mean<'n>(typed: &str, known: &[&'n str]) -> Option<&'n str> {
    const NEAR: f64 = 0.8;
    if let Some(name) = known.iter().find(|name| same_but_for_case(name, typed)) {
        return Some(name);
    }
    let near = known.iter().map(|name| (strsim::jaro_winkler(name, typed), *name));
    near.filter(|(score, _)| *score >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// The RFC 6901 pointer of the member whose key begins at `key_at` (its opening quote). One pass over the text,
/// which is known to be JSON.
#[must_use]
pub fn pointer_of_key(text: &str, key_at: usize) -> String {
    /// An object at a key, or an array at an index.
    enum OpenContainer<'t> {
        Object(Option<&'t str>),
        Array(usize),
    }
    let mut open: Vec<OpenContainer<'_>> = Vec::new();
    let mut at = 0_usize;
    while let Some(&byte) = text.as_bytes().get(at).filter(|_| at <= key_at) {
        let mut step = 1;
        match (byte, open.last_mut()) {
            (b'"', top) => {
                step = proved_string_len(text.as_bytes().get(at..).unwrap_or_default());
                // A key is the first string behind `{` or `,`.
                if let Some(OpenContainer::Object(key @ None)) = top {
                    *key = text.get(at..at.saturating_add(step));
                }
            }
            (b'{', _) => open.push(OpenContainer::Object(None)),
            (b'[', _) => open.push(OpenContainer::Array(0)),
            (b'}' | b']', _) => {
                open.pop();
            }
            (b',', Some(OpenContainer::Object(key))) => *key = None,
            (b',', Some(OpenContainer::Array(nth))) => *nth = nth.saturating_add(1),
            _ => {}
        }
        at = at.saturating_add(step);
    }
    let names = open.iter().map(|open| match open {
        OpenContainer::Object(key) => key
            .and_then(|key| Value::proved(key).as_str())
            .map_or(Cow::Borrowed(""), Str::decode_lossy),
        OpenContainer::Array(nth) => Cow::Owned(nth.to_string()),
    });
    names.fold(String::new(), |pointer, name| join(&pointer, &name))
}

/// A value that a pointer leads to.
#[derive(Debug, Clone, Copy)]
pub struct PointedValue<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Where its key begins (its opening quote), in bytes; for an element, where the element begins.
    pub key_at: usize,
}

/// Follows an RFC 6901 pointer.
#[must_use]
pub fn find<'a>(root: Value<'a>, pointer: &str) -> Option<PointedValue<'a>> {
    let start = PointedValue { value: root, key_at: root.start() };
    pointer.split('/').skip(1).try_fold(start, |target, step| {
        let name = step.replace("~1", "/").replace("~0", "~");
        if let Kind::Array = target.value.kind() {
            let value = target.value.elements().nth(name.parse().ok()?)?;
            return Some(PointedValue { value, key_at: value.start() });
        }
        let member = target.value.members().find(|member| member.key.is(&name))?;
        let key_at = member.key.start().saturating_sub(1);
        Some(PointedValue { value: member.value, key_at })
    })
}

/// Adds a step to an RFC 6901 pointer.
fn join(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}
