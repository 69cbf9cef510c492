//! Paths into a call's arguments (contract P6): `args.customer.tier`, `args["any key"]`, `args.items[3]`,
//! `args.items[*].price`.

use std::collections::HashSet;
use std::fmt;

use crate::engine::json::arguments::{Arguments, Found, has_proto, look_up_in, nth_of};
use crate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use crate::engine::json::undecidable::{Types, Undecidable};
use crate::engine::json::value::{Member, Str, Type, Value};
use crate::engine::work::{TooCostly, Work};

/// Why a visit of the values at a path ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The visitor found what it wanted.
    Met,
    /// The work does not suffice.
    TooCostly,
}

impl From<TooCostly> for Stop {
    fn from(_: TooCostly) -> Self {
        Stop::TooCostly
    }
}

/// Sees each value at a path, and may take work from the budget.
type Visit<'v, 'a> = dyn FnMut(Found<'a>, &mut Work) -> Result<(), Stop> + 'v;

/// A path that has been parsed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArgPath {
    text: String,
    steps: Vec<Segment>,
    /// Where each step ends in the text, in bytes.
    ends: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Key(String),
    Index(usize),
    Each,
}

/// The rests of several paths from one place in the arguments on.
#[derive(Debug, Clone, Default)]
pub struct Named<'p> {
    /// The segments from there on.
    paths: Vec<&'p [Segment]>,
}

impl<'p> Named<'p> {
    /// The paths from the arguments on.
    pub fn of(paths: impl Iterator<Item = &'p ArgPath>) -> Self {
        let paths = paths.map(|path| path.steps.as_slice()).filter(|steps| !steps.is_empty());
        Named { paths: paths.collect() }
    }

    /// True if nothing is named here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The number of paths that lead on.
    #[must_use]
    pub fn count(&self) -> usize {
        self.paths.len()
    }

    /// The members that the paths name, as a set.
    #[must_use]
    pub fn names(&self) -> NamedKeys<'p> {
        let names = self.paths.iter().filter_map(|path| match path.first() {
            Some(Segment::Key(name)) => Some(name.as_str()),
            _ => None,
        });
        let names: HashSet<&str> = names.collect();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or_default();
        NamedKeys { names, longest }
    }

    /// The paths that lead into the member `key`.
    #[must_use]
    pub fn below(&self, key: Str<'_>) -> Self {
        self.behind(|step| match step {
            Segment::Key(name) => key.is(name),
            Segment::Each => true,
            Segment::Index(_) => false,
        })
    }

    /// The paths that lead into elements of an array.
    #[must_use]
    pub fn each(&self) -> Self {
        self.behind(|step| matches!(step, Segment::Each | Segment::Index(_)))
    }

    fn behind(&self, leads_there: impl Fn(&Segment) -> bool) -> Self {
        let steps = self.paths.iter().filter_map(|path| path.split_first());
        let below = steps.filter(|(step, rest)| !rest.is_empty() && leads_there(step));
        Named { paths: below.map(|(_, rest)| rest).collect() }
    }
}

/// The members that several paths name in one object. The time of a look-up does not depend on their number.
#[derive(Debug)]
pub struct NamedKeys<'p> {
    names: HashSet<&'p str>,
    /// Bytes of the longest.
    longest: usize,
}

impl NamedKeys<'_> {
    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// True if `key` is one of them.
    #[must_use]
    pub fn has(&self, key: Str<'_>) -> bool {
        !self.is_empty()
            && !key.is_longer_than(self.longest)
            && key.decode().is_some_and(|key| self.names.contains(key.as_ref()))
    }
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
        let mut ends = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = Segment::parse(rest)?;
            steps.push(step);
            rest = behind;
            ends.push(text.len().saturating_sub(rest.len()));
        }
        Ok(ArgPath { text: text.to_owned(), steps, ends })
    }

    /// Why what stands at this path cannot be decided, as a sentence without its full stop.
    #[must_use]
    pub fn words(&self, doubt: Undecidable) -> String {
        let place = match doubt.place() {
            None => &self.text,
            Some((left, with_next)) => {
                let steps = self.steps.len().saturating_sub(left);
                self.up_to(steps.saturating_add(usize::from(with_next)))
            }
        };
        doubt.words(place)
    }

    fn up_to(&self, steps: usize) -> &str {
        let end = match steps.checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or(self.text.len()),
            None => "args".len(),
        };
        self.text.get(..end).unwrap_or_default()
    }

    /// Shows `visit` what stands at the path: once, or once for each match of a path with `[*]`. No match of a
    /// `[*]` counts as absent. `visit` can break off.
    ///
    /// # Errors
    /// `visit` broke off, or less work is left than this takes.
    pub fn visit<'a>(
        &self,
        arguments: &Arguments<'a>,
        work: &mut Work,
        visit: &mut Visit<'_, 'a>,
    ) -> Result<(), Stop> {
        match self.steps.split_first() {
            None => visit(Found::Value(arguments.whole()), work),
            Some((Segment::Key(key), rest)) => {
                match arguments.look_up(key, self.steps.len(), work)? {
                    Found::Value(value) => follow(value, rest, work, visit),
                    other => visit(other, work),
                }
            }
            Some(_) => follow(arguments.whole(), &self.steps, work, visit),
        }
    }

    /// What stands at a path without `[*]`.
    ///
    /// # Errors
    /// Less work is left than this takes.
    pub fn find<'a>(
        &self,
        arguments: &Arguments<'a>,
        work: &mut Work,
    ) -> Result<Found<'a>, TooCostly> {
        let mut found = Found::Absent;
        let visited = self.visit(arguments, work, &mut |at, _| {
            found = at;
            Err(Stop::Met)
        });
        if visited == Err(Stop::TooCostly) { Err(TooCostly) } else { Ok(found) }
    }

    /// True for `args` itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// True if the path takes `args` for a list, which it never is.
    #[must_use]
    pub fn begins_with_index(&self) -> bool {
        matches!(self.steps.first(), Some(Segment::Index(_)))
    }

    /// True if something at this path stands in what is at `other`, or is it.
    #[must_use]
    pub fn is_within(&self, other: &ArgPath) -> bool {
        self.steps.starts_with(&other.steps)
    }

    /// True if the path has `[*]` and so can stand for many values.
    #[must_use]
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Segment::Each)
    }
}

impl Segment {
    /// Reads one step from the start of `text`; returns what is behind it.
    fn parse(text: &str) -> Result<(Segment, &str), PathError> {
        if let Some(rest) = text.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            return match name {
                "" => Err(wrong("a name is missing after `.`")),
                "*" => Err(wrong("`.*` is no step; each element or value is `[*]`")),
                name if name.contains([']', '"', '\'', ' ']) => {
                    Err(wrong(&format!("a key such as `{name}` is written `[\"{name}\"]`")))
                }
                name => Ok((Segment::Key(name.to_owned()), behind)),
            };
        }
        let Some(rest) = text.strip_prefix('[') else {
            return Err(wrong("a step is `.name`, `[\"any key\"]`, `[3]` or `[*]`"));
        };
        if rest.starts_with('"') {
            return Segment::parse_quoted(rest);
        }
        let (inside, behind) = rest.split_once(']').ok_or_else(|| wrong("`[` is not closed"))?;
        if inside == "*" {
            return Ok((Segment::Each, behind));
        }
        let digits = !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit());
        match inside.parse() {
            Ok(index) if digits => Ok((Segment::Index(index), behind)),
            _ => Err(wrong(
                "between `[` and `]` stands a number from 0, `*`, or a key in double quotes",
            )),
        }
    }

    /// Reads `"any key"]`, with the escapes of JSON.
    fn parse_quoted(text: &str) -> Result<(Segment, &str), PathError> {
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
        Ok((Segment::Key(key), behind))
    }
}

fn wrong(message: &str) -> PathError {
    PathError { message: message.to_owned() }
}

fn follow<'a>(
    value: Value<'a>,
    steps: &[Segment],
    work: &mut Work,
    visit: &mut Visit<'_, 'a>,
) -> Result<(), Stop> {
    const OBJECT: Types = Types::of(&[Type::Object]);
    const ARRAY: Types = Types::of(&[Type::Array]);
    const EITHER: Types = Types::of(&[Type::Array, Type::Object]);
    let Some((step, rest)) = steps.split_first() else { return visit(Found::Value(value), work) };
    let left = steps.len();
    let another = |found, wanted| Found::Doubtful(Undecidable::Step { left, found, wanted });
    let next = match (step, value.of_type()) {
        (_, Type::Null) => Found::Absent,
        (Segment::Key(key), Type::Object) => look_up_in(value, key, left, work)?,
        (Segment::Key(_), found) => another(found, OBJECT),
        (Segment::Index(nth), Type::Array) => nth_of(value, *nth, work)?,
        (Segment::Index(_), found) => another(found, ARRAY),
        (Segment::Each, Type::Array | Type::Object) => return each(value, steps, work, visit),
        (Segment::Each, found) => another(found, EITHER),
    };
    match next {
        Found::Value(value) => follow(value, rest, work, visit),
        other => visit(other, work),
    }
}

/// Goes on with each element or value; the first of `steps` is the `[*]` that leads to them.
fn each<'a>(
    container: Value<'a>,
    steps: &[Segment],
    work: &mut Work,
    visit: &mut Visit<'_, 'a>,
) -> Result<(), Stop> {
    let rest = steps.get(1..).unwrap_or_default();
    let mut at = container.start();
    let mut none = true;
    for element in container.elements() {
        none = false;
        work.walk(element.end().saturating_sub(at))?;
        at = element.end();
        follow(element, rest, work, visit)?;
    }
    if container.is_object() {
        if has_proto(container, work)? {
            let left = steps.len();
            return visit(Found::Doubtful(Undecidable::Proto { left }), work);
        }
        for Member { value, .. } in container.members() {
            none = false;
            work.walk(value.end().saturating_sub(at))?;
            at = value.end();
            follow(value, rest, work, visit)?;
        }
    }
    work.walk(container.end().saturating_sub(at))?;
    if none { visit(Found::Absent, work) } else { Ok(()) }
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
