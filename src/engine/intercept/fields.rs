//! Reads a tree of YAML field by field, so that every problem is found at once, each with its place.

use std::rc::Rc;

use super::problems::{YamlPlace, YamlProblems};
use super::yaml::{YamlNode, YamlValue};
use crate::engine::compile::fields::{alternatives, did_you_mean, name_for_problem, quoted_list};
use crate::engine::compile::hints::{self, Mistake};

/// A value that knows its place.
#[derive(Debug, Clone)]
pub(crate) struct PlacedNode<'n> {
    /// The value.
    pub(crate) node: &'n YamlNode,
    /// Its place; that of its key if there is no text of its own.
    pub(crate) place: YamlPlace,
}

impl<'n> PlacedNode<'n> {
    /// The whole document.
    #[must_use]
    pub(crate) fn root(node: &'n YamlNode) -> Self {
        PlacedNode { node, place: YamlPlace::at(node.span.clone()) }
    }

    fn child(&self, name: &str, key: Option<&YamlNode>, node: &'n YamlNode) -> Self {
        let is_unwritten = node.span.is_empty();
        let span = key.filter(|_| is_unwritten).unwrap_or(node).span.clone();
        PlacedNode { node, place: self.place.child(name, span) }
    }

    /// The text of a scalar, whatever it looks like; a problem for a list or map.
    pub(crate) fn text(&self, problems: &mut YamlProblems) -> Option<String> {
        let text = self.node.text();
        if text.is_none() {
            problems.wrong_type(self, "text", None);
        }
        text.map(str::to_owned)
    }

    /// A text that is not empty; a problem for anything else.
    pub(crate) fn name(&self, problems: &mut YamlProblems) -> Option<String> {
        let text = self.text(problems)?;
        if text.trim().is_empty() || self.node.is_null() {
            problems.add(&self.place, "a name is missing", None);
            return None;
        }
        Some(text)
    }

    /// The elements of a list; a problem for anything else.
    pub(crate) fn elements(&self, problems: &mut YamlProblems) -> Vec<PlacedNode<'n>> {
        let YamlValue::List(elements) = &self.node.value else {
            let help = match &self.node.value {
                YamlValue::Map(_) => "put `- ` before its first line: this is one entry of a list",
                _ => "put it in brackets: `[a, b]`, or on a line of its own behind `- `",
            };
            problems.wrong_type(self, "a list", Some(help));
            return Vec::new();
        };
        let numbered = (0_usize..).zip(elements);
        numbered.map(|(nth, node)| self.child(&nth.to_string(), None, node)).collect()
    }

    /// The members of a map with the places of their keys; a problem for anything else.
    pub(crate) fn members(&self, problems: &mut YamlProblems) -> Vec<YamlMember<'n>> {
        let YamlValue::Map(members) = &self.node.value else {
            problems.wrong_type(self, "a map", None);
            return Vec::new();
        };
        let member = |(key, node): &'n (Rc<YamlNode>, Rc<YamlNode>)| {
            let name = key.text().unwrap_or_default();
            let value = self.child(name, Some(key), node);
            let key = YamlPlace { span: key.span.clone(), pointer: value.place.pointer.clone() };
            YamlMember { name, key, value }
        };
        members.iter().map(member).collect()
    }

    /// One of a set of words, as the value that it stands for. Anything else is a problem; `mistakes` may tell what was
    /// meant.
    pub(crate) fn word<T: Copy>(
        &self,
        words: &[(&str, T)],
        mistakes: &[Mistake],
        problems: &mut YamlProblems,
    ) -> Option<T> {
        self.word_or(words, |text| hints::meant(text, mistakes).map(str::to_owned), problems)
    }

    /// [`PlacedNode::word`] with a function that returns the word that was meant, or advice.
    pub(crate) fn word_or<T: Copy>(
        &self,
        words: &[(&str, T)],
        hint: impl FnOnce(&str) -> Option<String>,
        problems: &mut YamlProblems,
    ) -> Option<T> {
        let text = self.node.text();
        let of = |name: &str| words.iter().find(|(word, _)| *word == name).map(|&(_, value)| value);
        if let Some(value) = text.and_then(of) {
            return Some(value);
        }
        let names: Vec<&str> = words.iter().map(|&(name, _)| name).collect();
        let hint = text.and_then(hint);
        let meant = match &hint {
            Some(hint) => names.iter().copied().find(|name| name == hint),
            None => text.and_then(|text| did_you_mean(text, &names)),
        };
        let help = meant.map(|name| format!("did you mean `{name}`?")).or(hint);
        problems.wrong_type(self, &alternatives(&names), help.as_deref());
        meant.and_then(of)
    }
}

/// A member of a map.
#[derive(Debug)]
pub(crate) struct YamlMember<'n> {
    /// Its key.
    pub(crate) name: &'n str,
    /// Where the key stands.
    pub(crate) key: YamlPlace,
    /// Its value.
    pub(crate) value: PlacedNode<'n>,
}

/// A field of Intercept that callgate's policy lacks: its name, why, and what to do instead.
pub(crate) type Foreign = (&'static str, &'static str, &'static str);

/// The fields of a map. A field without a value counts as absent.
#[derive(Debug)]
pub(crate) struct YamlFields<'n> {
    /// Where the map stands.
    pub(crate) place: YamlPlace,
    /// False if there are unknown fields, which may be misspellings of missing ones.
    pub(crate) are_known: bool,
    members: Vec<YamlMember<'n>>,
}

impl<'n> YamlFields<'n> {
    /// The fields of a map that may have those `known`; each other one is a problem.
    pub(crate) fn open(
        found: &PlacedNode<'n>,
        known: &[&str],
        foreign: &[Foreign],
        problems: &mut YamlProblems,
    ) -> Option<Self> {
        if !matches!(found.node.value, YamlValue::Map(_)) {
            problems.wrong_type(found, "a map", None);
            return None;
        }
        let members = found.members(problems);
        let are_known = members.iter().all(|member| known.contains(&member.name));
        for YamlMember { name, key, .. } in &members {
            if known.contains(name) {
                continue;
            }
            if let Some((_, message, help)) = foreign.iter().find(|(other, ..)| other == name) {
                problems.add(key, *message, Some(help));
                continue;
            }
            let help = match did_you_mean(name, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here: {}", quoted_list(known)),
            };
            let message = format!("unknown field `{}`", name_for_problem(name));
            problems.add(key, message, Some(&help));
        }
        Some(YamlFields { place: found.place.clone(), are_known, members })
    }

    /// The field `name`, if it is there and not null.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<&PlacedNode<'n>> {
        self.written(name).filter(|found| !found.node.is_null())
    }

    /// The field `name`, if it is there; it may be null.
    #[must_use]
    pub(crate) fn written(&self, name: &str) -> Option<&PlacedNode<'n>> {
        self.members.iter().find(|member| member.name == name).map(|member| &member.value)
    }

    /// Where the key `name` stands.
    #[must_use]
    pub(crate) fn key(&self, name: &str) -> Option<&YamlPlace> {
        self.members.iter().find(|member| member.name == name).map(|member| &member.key)
    }

    /// The field `name`; a problem if it is not there.
    pub(crate) fn require(
        &self,
        name: &str,
        help: &str,
        problems: &mut YamlProblems,
    ) -> Option<&PlacedNode<'n>> {
        let found = self.get(name);
        if found.is_none() {
            let place = self.key(name).unwrap_or(&self.place);
            problems.add(place, format!("missing field `{name}`"), Some(help));
        }
        found
    }

    /// The text of the field `name`, if it is there.
    pub(crate) fn text(&self, name: &str, problems: &mut YamlProblems) -> Option<String> {
        self.get(name).and_then(|found| found.text(problems))
    }
}

impl YamlProblems {
    /// Adds `expected X, found Y`.
    pub(crate) fn wrong_type(
        &mut self,
        found: &PlacedNode<'_>,
        expected: &str,
        help: Option<&str>,
    ) {
        let message = format!("expected {expected}, found {}", found.node.describe());
        self.add(&found.place, message, help);
    }
}
