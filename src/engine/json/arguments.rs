//! A call's arguments, and lookup of names in them (contract P8).

use super::reader::{Fault, JsonError, KeyRule, MAX_DEPTH, Reader, Scratch};
use super::undecidable::Undecidable;
use super::value::{Member, Str, Value};
use crate::engine::work::{TooCostly, Work, steps};

/// A call's arguments: the object, and an index of its members.
#[derive(Debug)]
pub struct Arguments<'a> {
    root: Value<'a>,
    /// The first [`INDEXED`] members; `more` is true if there are others.
    members: Vec<Member<'a>>,
    more: bool,
    /// Total length of all keys, in bytes.
    key_bytes: usize,
}

/// How many members the index holds. Lookups in larger objects search the whole object.
const INDEXED: usize = 1024;

impl<'a> Arguments<'a> {
    /// The arguments of a call without any, which count as `{}` (contract W3).
    #[must_use]
    pub fn none() -> Self {
        Arguments { root: Value::proved("{}"), members: Vec::new(), more: false, key_bytes: 0 }
    }

    /// Reads a text as one object whose keys differ at every depth, as those of a call must (contract W3).
    ///
    /// # Errors
    /// The first place where the text is not such an object.
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

    /// Reads the next value, an object, and indexes its members, so that conditions need not search for them.
    ///
    /// # Errors
    /// The first place where the text is not JSON.
    pub fn read(reader: &mut Reader<'a, '_>) -> Result<Self, JsonError> {
        let mut members = Vec::with_capacity(8);
        let mut more = false;
        let mut key_bytes = 0_usize;
        let root = reader.object(|reader, key| {
            let value = reader.value(KeyRule::Unique)?;
            key_bytes = key_bytes.saturating_add(key.raw().len());
            if members.len() < INDEXED {
                members.push(Member { key, value });
            } else {
                more = true;
            }
            Ok(())
        })?;
        Ok(Arguments { root, members, more, key_bytes })
    }

    pub(in crate::engine) fn look_up(
        &self,
        key: &str,
        left: usize,
        work: &mut Work,
    ) -> Result<Found<'a>, TooCostly> {
        if self.more {
            return look_up_in(self.root, key, left, work);
        }
        work.take(self.names_work())?;
        let mut looking = Looking::new(key);
        for member in &self.members {
            looking.see(member, work)?;
        }
        Ok(looking.found(left))
    }

    /// The cost of comparing one name with those of all arguments, in steps.
    #[must_use]
    pub fn names_work(&self) -> u64 {
        if self.more {
            return steps(self.root.text().len()).saturating_mul(2);
        }
        let names = steps(self.members.len()).saturating_mul(4);
        names.saturating_add(steps(self.key_bytes / 8))
    }

    /// True if the object has more than `count` members; `count` must be at most 1024.
    #[must_use]
    pub fn has_more_than(&self, count: usize) -> bool {
        self.more || self.members.len() > count
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

    /// The text of the object as the call spells it; `{}` if the call carries none.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.root.text()
    }
}

/// The result of following a path.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// The value at the path.
    Value(Value<'a>),
    /// A key or element is missing, or `null` is on the way.
    Absent,
    /// Servers may disagree on the value (contract P8).
    Doubtful(Undecidable),
}

/// The element of an array at an index.
pub(in crate::engine) fn nth_of<'a>(
    array: Value<'a>,
    nth: usize,
    work: &mut Work,
) -> Result<Found<'a>, TooCostly> {
    let mut at = array.start();
    for (number, element) in array.elements().enumerate() {
        work.walk(element.end().saturating_sub(at))?;
        at = element.end();
        if number == nth {
            return Ok(Found::Value(element));
        }
    }
    work.walk(array.end().saturating_sub(at))?;
    Ok(Found::Absent)
}

/// The key that JavaScript treats as an object's prototype.
const PROTO: &str = "__proto__";

pub(in crate::engine) fn has_proto(object: Value<'_>, work: &mut Work) -> Result<bool, TooCostly> {
    let mut at = object.start();
    for Member { key, value } in object.members() {
        work.walk(value.end().saturating_sub(at))?;
        at = value.end();
        if is_key(key, PROTO, work)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(in crate::engine) fn look_up_in<'a>(
    object: Value<'a>,
    key: &str,
    left: usize,
    work: &mut Work,
) -> Result<Found<'a>, TooCostly> {
    let mut looking = Looking::new(key);
    let mut at = object.start();
    for member in object.members() {
        work.walk(member.value.end().saturating_sub(at))?;
        at = member.value.end();
        looking.see(&member, work)?;
    }
    work.walk(object.end().saturating_sub(at))?;
    Ok(looking.found(left))
}

/// A search for a member, among all keys that some server could read as its name (contract P8).
struct Looking<'k, 'a> {
    key: &'k str,
    is_ascii: bool,
    exact: Option<Value<'a>>,
    /// Another key differs only by case.
    alike: bool,
    /// The object has a key `__proto__`.
    proto: bool,
}

impl<'k, 'a> Looking<'k, 'a> {
    fn new(key: &'k str) -> Self {
        Looking { key, is_ascii: key.is_ascii(), exact: None, alike: false, proto: false }
    }

    #[inline]
    fn see(&mut self, member: &Member<'a>, work: &mut Work) -> Result<(), TooCostly> {
        let raw = member.key.raw();
        let is_other_length = raw.len() != self.key.len() && raw.len() != PROTO.len();
        if is_other_length && !member.key.is_escaped() && self.is_ascii && raw.is_ascii() {
            // Most keys differ in length.
            return Ok(());
        }
        self.compare(member, work)
    }

    fn compare(&mut self, member: &Member<'a>, work: &mut Work) -> Result<(), TooCostly> {
        if is_key(member.key, self.key, work)? {
            self.exact = Some(member.value);
        } else if resembles(member.key, self.key, work)? {
            self.alike = true;
        }
        self.proto |= is_key(member.key, PROTO, work)?;
        Ok(())
    }

    fn found(self, left: usize) -> Found<'a> {
        match self.exact {
            _ if self.proto => Found::Doubtful(Undecidable::Proto { left }),
            Some(_) if self.alike => Found::Doubtful(Undecidable::TwoCases { left }),
            None if self.alike => Found::Doubtful(Undecidable::OtherCase { left }),
            Some(value) => Found::Value(value),
            None => Found::Absent,
        }
    }
}

/// True if the unescaped key is `wanted`. Keys without escapes cost nothing here: the walk to the key has paid for
/// them.
#[inline]
fn is_key(key: Str<'_>, wanted: &str, work: &mut Work) -> Result<bool, TooCostly> {
    if key.is_escaped() {
        work.take(steps(key.raw().len().min(wanted.len().saturating_mul(6))).saturating_mul(8))?;
    }
    Ok(key.is(wanted))
}

/// True if a key differs from `wanted` by case at most.
#[inline]
fn resembles(key: Str<'_>, wanted: &str, work: &mut Work) -> Result<bool, TooCostly> {
    /// See [`Str::resembles`].
    const WIDEST: usize = 72;
    let raw = key.raw();
    if raw.len() > wanted.len().saturating_mul(WIDEST) {
        return Ok(false);
    }
    let plain = !key.is_escaped() && raw.is_ascii() && wanted.is_ascii();
    if plain && raw.len() != wanted.len() {
        return Ok(false);
    }
    if !plain {
        let bytes = steps(raw.len().saturating_add(wanted.len()));
        work.take(bytes.saturating_mul(24).saturating_add(100))?;
    }
    Ok(key.resembles(wanted))
}
