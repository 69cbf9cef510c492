//! Reads `limits` and `rate_limit` (contract 3.4).

use std::sync::Arc;

use super::Compiler;
use super::fields::{Fields, Node, string, word, word_or};
use super::hints;
use super::shape::{LIMIT, RATE_LIMIT};
use crate::engine::json::value::{Kind, Str};
use crate::engine::limits::{Amount, CounterKey, MAX_WINDOW_SECONDS, NAMED_WINDOWS, Scope, Window};
use crate::engine::policy::path::ArgPath;
use crate::engine::policy::{Limit, amount_of};

impl Compiler<'_> {
    /// An entry of `limits`.
    pub(super) fn limit(&mut self, node: &Node<'_>) -> Option<Limit> {
        let fields = Fields::open(node, LIMIT, &mut self.problems)?;
        let name = fields.require("counter", "the counter's name", &mut self.problems);
        let name = name.and_then(|node| self.counter_name(&node));
        let window = self.window_field(&fields);
        let max = fields.require("max", "how much a window lets through", &mut self.problems);
        let max = max.and_then(|node| self.amount(&node));
        let calendar = self.optional(&fields, "align", |this, node| {
            word(node, &[("calendar", ())], hints::ALIGNS, &mut this.problems)
        });
        let scope = self.scope(&fields, window);
        let increment = self.optional(&fields, "increment", Self::amount);
        let increment_from = self.optional(&fields, "increment_from", Self::single_path);
        let on_deny =
            self.optional(&fields, "on_deny", |this, node| string(node, &mut this.problems));
        let window = match (calendar, window?) {
            (None, window) => window,
            (Some(()), Window::Sliding(seconds)) if is_named(&fields) => Window::Calendar(seconds),
            (Some(()), _) => {
                let help = "the calendar has `minute`, `hour`, `day` and `week`".to_owned();
                let align = fields.get("align").unwrap_or_else(|| fields.node().clone());
                self.problems.add(&align, "`align` needs a named window", Some(help));
                return None;
            }
        };
        let counter = CounterKey { scope: scope?, name: name?, window };
        let increment = increment.unwrap_or(Amount::ONE);
        let max = max?;
        let pointer = node.pointer.as_str().into();
        let what = what(max, &counter);
        Some(Limit { pointer, what, counter, max, increment, increment_from, on_deny })
    }

    /// `rate_limit` of the rule named `key`: a counter of its own, `<key>_rate`.
    pub(super) fn rate_limit(&mut self, node: &Node<'_>, key: &str) -> Option<Limit> {
        if !node.value.is_object() {
            let text = node.value.as_str().and_then(Str::decode).unwrap_or_default();
            let number = matches!(node.value.kind(), Kind::Number(_));
            let text =
                if number { format!("{}/minute", node.value.text()) } else { text.into_owned() };
            self.problems.wrong_type_with(node, "an object", Some(hints::rate(&text)));
            return None;
        }
        let fields = Fields::open(node, RATE_LIMIT, &mut self.problems)?;
        let max = fields.require("max", "how many calls a window lets through", &mut self.problems);
        let max = max.and_then(|node| self.amount(&node));
        let window = self.window_field(&fields)?;
        let scope = if window == Window::Session { Scope::Session } else { Scope::Grant };
        let counter = CounterKey { scope, name: format!("{key}_rate").into(), window };
        let max = max?;
        Some(Limit {
            pointer: node.pointer.as_str().into(),
            what: what(max, &counter),
            counter,
            max,
            increment: Amount::ONE,
            increment_from: None,
            on_deny: None,
        })
    }

    fn counter_name(&mut self, node: &Node<'_>) -> Option<Arc<str>> {
        let name = string(node, &mut self.problems)?;
        if name.is_empty() {
            self.problems.add(node, "a counter needs a name", None);
            return None;
        }
        Some(name.into())
    }

    /// The scope of a limit; a session window has no other than `session` (contract P9).
    fn scope(&mut self, fields: &Fields<'_>, window: Option<Window>) -> Option<Scope> {
        let session = window == Some(Window::Session);
        let Some(node) = fields.get("scope") else {
            return Some(if session { Scope::Session } else { Scope::Grant });
        };
        let scope = word(&node, Scope::WORDS, hints::SCOPES, &mut self.problems)?;
        if session && scope != Scope::Session {
            let help = "leave `scope` out, or say `session`".to_owned();
            self.problems.add(&node, "a limit per session has no other scope", Some(help));
            return None;
        }
        Some(scope)
    }

    fn window_field(&mut self, fields: &Fields<'_>) -> Option<Window> {
        let help = "`minute`, `hour`, `day`, `week`, `session`, or a number of seconds";
        let node = fields.require("window", help, &mut self.problems)?;
        match node.value.kind() {
            Kind::String(_) => {
                let named = NAMED_WINDOWS.map(|(name, seconds)| (name, Window::Sliding(seconds)));
                let [minute, hour, day, week] = named;
                let words = [minute, hour, day, week, ("session", Window::Session)];
                word_or(&node, &words, hints::window, &mut self.problems)
            }
            Kind::Number(number) => {
                let seconds = number.scaled(0).filter(|_| !number.is_negative());
                let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
                let in_range = seconds.filter(|seconds| (1..=MAX_WINDOW_SECONDS).contains(seconds));
                if in_range.is_none() {
                    let expected =
                        format!("a whole number of seconds from 1 to {MAX_WINDOW_SECONDS}");
                    self.problems.wrong_type(&node, &expected);
                }
                in_range.map(Window::Sliding)
            }
            _ => {
                let expected = "`minute`, `hour`, `day`, `week`, `session` or a number of seconds";
                self.problems.wrong_type(&node, expected);
                None
            }
        }
    }

    fn amount(&mut self, node: &Node<'_>) -> Option<Amount> {
        let amount = match node.value.kind() {
            Kind::Number(number) => amount_of(number),
            _ => None,
        };
        if amount.is_none() {
            let expected = "a number from 0 to 10^15 with at most 9 digits after the point";
            let text = node.value.as_str().and_then(Str::decode);
            self.problems.wrong_type_with(
                node,
                expected,
                text.and_then(|text| hints::number(&text)),
            );
        }
        amount
    }

    /// A path that stands for one value at most.
    fn single_path(&mut self, node: &Node<'_>) -> Option<ArgPath> {
        let path = self.path(node)?;
        if path.is_many() {
            self.problems.add(node, "an amount is one value; `[*]` stands for many", None);
            return None;
        }
        Some(path)
    }
}

/// A limit in words: `30 per minute (images)`.
fn what(max: Amount, counter: &CounterKey) -> Arc<str> {
    format!("{max} per {} ({})", counter.window, counter.name).into()
}

/// True if a limit's window is a name and not a number.
fn is_named(fields: &Fields<'_>) -> bool {
    fields.get("window").is_some_and(|node| node.value.as_str().is_some())
}
