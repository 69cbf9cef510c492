//! Paths into a call's arguments (SPEC P6): `args.customer.tier`, `args["any key"]`, `args.items[3]`,
//! `args.items[*].price`.

use std::fmt;
use std::ops::ControlFlow;

use super::json::{Fault, JsonError, KeyRule, MAX_DEPTH, Reader, Scratch};
use super::value::{Kind, Member, Value};

/// A call's arguments: the object, and its members one by one.
#[derive(Debug)]
pub struct Arguments<'a> {
    root: Value<'a>,
    /// The first [`INDEXED`] members, and whether there are more.
    members: Vec<Member<'a>>,
    more: bool,
}

/// How many members are kept at hand; objects with more are looked through each time.
const INDEXED: usize = 1024;

impl<'a> Arguments<'a> {
    /// The arguments of a call that carries none, which count as `{}` (SPEC W3).
    #[must_use]
    pub fn none() -> Self {
        Arguments { root: Value::proved("{}"), members: Vec::new(), more: false }
    }

    /// Reads a text that is to be one object whose keys differ at every depth, as those of a call do (SPEC W3).
    ///
    /// # Errors
    /// Where the text is something else.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        let mut scratch = Scratch::default();
        let mut reader = Reader::new(text, MAX_DEPTH, &mut scratch);
        let arguments = Self::read(&mut reader)?;
        reader.end()?;
        match scratch.duplicates().first() {
            Some(&at) => Err(JsonError { at, fault: Fault::Expected("a key that stands once") }),
            None => Ok(arguments),
        }
    }

    /// Reads the object that comes next, and keeps its members, so that no condition has to look for them.
    ///
    /// # Errors
    /// Where the text is not JSON.
    pub fn read(reader: &mut Reader<'a, '_>) -> Result<Self, JsonError> {
        let mut members = Vec::with_capacity(8);
        let mut more = false;
        let root = reader.object(|reader, key| {
            let value = reader.value(KeyRule::Unique)?;
            if members.len() < INDEXED {
                members.push(Member { key, value });
            } else {
                more = true;
            }
            Ok(())
        })?;
        Ok(Arguments { root, members, more })
    }

    fn look_up(&self, key: &str) -> Found<'a> {
        if self.more {
            return look_up(self.root.members(), key);
        }
        look_up(self.members.iter().copied(), key)
    }

    /// The members of the object, in their order.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> {
        self.root.members()
    }

    /// The object itself; `{}` if the call carries none.
    #[must_use]
    pub fn whole(&self) -> Value<'a> {
        self.root
    }

    /// The text of the object as the call spells it; `{}` if it carries none.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.root.text()
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// This value.
    Value(Value<'a>),
    /// Nothing: a key or element is missing, or `null` is on the way.
    Absent,
    /// Servers may disagree: a step into a value of another kind, or a key that stands there in another case,
    /// alone or beside the right one (SPEC P8).
    Doubtful,
}

/// A path that has been parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgPath {
    text: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Each,
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathError {
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for ArgPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ArgPath {
    /// Parses a path.
    ///
    /// # Errors
    /// The text does not begin with `args`, or a step of it is none of `.name`, `["any key"]`, `[3]`, `[*]`.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut rest = text
            .strip_prefix("args")
            .ok_or_else(|| wrong(&format!("a path begins with `args`, found `{text}`")))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = Step::parse(rest)?;
            steps.push(step);
            rest = behind;
        }
        Ok(ArgPath { text: text.to_owned(), steps })
    }

    /// Shows `visit` what stands at the path: once, or once for each match of a path with `[*]`. No match of a
    /// `[*]` counts as absent. `visit` can break off.
    pub fn visit<'a>(
        &self,
        arguments: &Arguments<'a>,
        visit: &mut dyn FnMut(Found<'a>) -> ControlFlow<()>,
    ) {
        let _ = match self.steps.split_first() {
            None => visit(Found::Value(arguments.root)),
            Some((Step::Key(key), rest)) => match arguments.look_up(key) {
                Found::Value(value) => follow(value, rest, visit),
                other => visit(other),
            },
            Some(_) => follow(arguments.root, &self.steps, visit),
        };
    }

    /// What stands at a path without `[*]`.
    #[must_use]
    pub fn find<'a>(&self, arguments: &Arguments<'a>) -> Found<'a> {
        let mut found = Found::Absent;
        self.visit(arguments, &mut |at| {
            found = at;
            ControlFlow::Break(())
        });
        found
    }

    /// True for `args` itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// True if the path takes `args` for a list, which it never is.
    #[must_use]
    pub fn begins_with_index(&self) -> bool {
        matches!(self.steps.first(), Some(Step::Index(_)))
    }

    /// True if something at this path stands in what is at `other`, or is it.
    #[must_use]
    pub fn is_within(&self, other: &ArgPath) -> bool {
        self.steps.starts_with(&other.steps)
    }

    /// True if the path has `[*]` and so can stand for many values.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Step::Each)
    }
}

impl Step {
    /// Reads one step from the start of `text`; returns what is behind it.
    fn parse(text: &str) -> Result<(Step, &str), PathError> {
        if let Some(rest) = text.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            return match name {
                "" => Err(wrong("a name is missing after `.`")),
                "*" => Err(wrong("`.*` is no step; each element or value is `[*]`")),
                name if name.contains([']', '"', '\'', ' ']) => {
                    Err(wrong(&format!("a key such as `{name}` is written `[\"{name}\"]`")))
                }
                name => Ok((Step::Key(name.to_owned()), behind)),
            };
        }
        let Some(rest) = text.strip_prefix('[') else {
            return Err(wrong("a step is `.name`, `[\"any key\"]`, `[3]` or `[*]`"));
        };
        if rest.starts_with('"') {
            return Step::parse_quoted(rest);
        }
        let (inside, behind) = rest.split_once(']').ok_or_else(|| wrong("`[` is not closed"))?;
        if inside == "*" {
            return Ok((Step::Each, behind));
        }
        let digits = !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit());
        match inside.parse() {
            Ok(index) if digits => Ok((Step::Index(index), behind)),
            _ => Err(wrong(
                "between `[` and `]` stands a number from 0, `*`, or a key in double quotes",
            )),
        }
    }

    /// Reads `"any key"]`, with the escapes of JSON.
    fn parse_quoted(text: &str) -> Result<(Step, &str), PathError> {
        let unclosed = || wrong("`[\"` is not closed by `\"]`");
        let mut ends = text.match_indices("\"]").map(|(at, _)| at.saturating_add(1));
        // The first end at which the text before it is one whole JSON string.
        let (key, end) = ends
            .find_map(|end| {
                let quoted = text.get(..end)?;
                let mut scratch = Scratch::default();
                let value =
                    Reader::new(quoted, MAX_DEPTH, &mut scratch).document(KeyRule::Any).ok()?;
                Some((value.as_str()?.decode()?.into_owned(), end))
            })
            .ok_or_else(unclosed)?;
        let behind = text.get(end.saturating_add(1)..).unwrap_or_default();
        Ok((Step::Key(key), behind))
    }
}

fn wrong(message: &str) -> PathError {
    PathError { message: message.to_owned() }
}

fn follow<'a>(
    value: Value<'a>,
    steps: &[Step],
    visit: &mut dyn FnMut(Found<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some((step, rest)) = steps.split_first() else { return visit(Found::Value(value)) };
    let next = match (step, value.kind()) {
        (_, Kind::Null) => Found::Absent,
        (Step::Key(key), Kind::Object) => look_up(value.members(), key),
        (Step::Index(nth), Kind::Array) => {
            value.elements().nth(*nth).map_or(Found::Absent, Found::Value)
        }
        (Step::Each, Kind::Array) => return each(value.elements(), rest, visit),
        (Step::Each, Kind::Object) => {
            return each(value.members().map(|member| member.value), rest, visit);
        }
        _ => Found::Doubtful,
    };
    match next {
        Found::Value(value) => follow(value, rest, visit),
        other => visit(other),
    }
}

fn each<'a>(
    values: impl Iterator<Item = Value<'a>>,
    steps: &[Step],
    visit: &mut dyn FnMut(Found<'a>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut none = true;
    for value in values {
        none = false;
        follow(value, steps, visit)?;
    }
    if none { visit(Found::Absent) } else { ControlFlow::Continue(()) }
}

/// The member `key`, unless another key of the object could be read as it (SPEC P8).
fn look_up<'a>(members: impl Iterator<Item = Member<'a>>, key: &str) -> Found<'a> {
    let mut exact = Found::Absent;
    for member in members {
        if member.key.is(key) {
            exact = Found::Value(member.value);
        } else if member.key.resembles(key) {
            return Found::Doubtful;
        }
    }
    exact
}

#[cfg(test)]
mod tests {
    use super::ArgPath;

    #[test]
    fn paths_are_parsed_or_explained() {
        for good in [
            "args",
            "args.a",
            "args.a-b.$c",
            "args[\"a b\"]",
            "args[\"a\\\"]\"][0]",
            "args[*][*].x",
        ] {
            assert!(ArgPath::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "arg.a",
            "argsx",
            "args.",
            "args..a",
            "args[",
            "args[]",
            "args[-1]",
            "args[+1]",
            "args[a]",
            "args[\"a]",
            "args.*",
            "args.a]",
            "args[1]x",
            "args.a b",
            "args[99999999999999999999999]",
        ] {
            assert!(ArgPath::parse(bad).is_err(), "{bad}");
        }
    }
}
