//! Warnings about names and patterns: those that match nothing, and entries that never decide.

use std::collections::HashSet;

use super::super::fields::{find, name_for_problem};
use super::{Linter, Token, ToolEntry, WarningKind, kind};
use crate::engine::json::value::{Str, Value};
use crate::engine::policy::{ActionKind, Mode, Rule};
use crate::engine::text::name::{NamePattern, without_client_prefix};

impl Linter<'_> {
    /// Warns of names in `hide` that another name there covers.
    pub(super) fn hidden_names(&mut self) {
        let list = find(self.root, "/hide").map(|target| target.value);
        let elements = list.into_iter().flat_map(Value::elements);
        let names: Vec<NamePattern> = elements
            .filter_map(|element| Some(NamePattern::new(&element.as_str()?.decode()?)))
            .collect();
        let wild: Vec<(usize, &NamePattern)> =
            names.iter().enumerate().filter(|(_, name)| name.is_wild()).collect();
        let mut seen = HashSet::new();
        for (place, name) in names.iter().enumerate() {
            self.prefixed(name.as_str(), Token::Value, format!("/hide/{place}"));
            if !seen.insert(name.as_str()) {
                let message = "this stands in the list already".to_owned();
                let pointer = format!("/hide/{place}");
                self.warn(
                    WarningKind::PointlessEntry,
                    Token::Value,
                    pointer,
                    message,
                    "leave it out",
                );
                continue;
            }
            if !self.affords(wild.len()) {
                return;
            }
            let mut wider = wild.iter().filter(|(other, _)| *other != place);
            let cover = wider.find(|(other, wide)| {
                self.covers(wide, name) && (*other < place || !self.covers(name, wide))
            });
            if let Some((_, wide)) = cover {
                let message = format!("`{}` hides this already", wide.as_str());
                let pointer = format!("/hide/{place}");
                self.warn(
                    WarningKind::PointlessEntry,
                    Token::Value,
                    pointer,
                    message,
                    "leave it out",
                );
            }
        }
    }

    /// Looks at the tools that `tests` name.
    pub(super) fn tested_names(&mut self) {
        let list = find(self.root, "/tests").map(|target| target.value);
        for (place, test) in list.into_iter().flat_map(Value::elements).enumerate() {
            let tool = test.member("tool").and_then(Value::as_str).and_then(Str::decode);
            self.prefixed(&tool.unwrap_or_default(), Token::Value, format!("/tests/{place}/tool"));
        }
    }

    /// Warns of a name with the prefix of a client, which no server has.
    fn prefixed(&mut self, name: &str, token: Token, pointer: String) {
        let Some(own) = without_client_prefix(name) else { return };
        let message = format!(
            "`{}` is what a client calls the tool; no server does, so this matches nothing",
            name_for_problem(name)
        );
        let help = format!(
            "write `{}`: some clients put `mcp__SERVER__` before the names of tools",
            name_for_problem(own)
        );
        self.warn(WarningKind::ClientPrefix, token, pointer, message, &help);
    }

    /// Compares an entry of `tools` with the patterns there.
    pub(super) fn entry(&mut self, entry: &ToolEntry<'_>, wild: &[&ToolEntry<'_>], plain: bool) {
        let ToolEntry { place, name, rule, .. } = entry;
        let pointer = rule.pointer.to_string();
        let text = name.as_str();
        self.prefixed(text, Token::Key, pointer.clone());
        if !self.affords(wild.len().saturating_add(self.hidden.len())) {
            return;
        }
        let is_hidden = if name.is_wild() {
            let hidden = std::mem::take(&mut self.hidden);
            let covered = hidden.iter().any(|hide| self.covers(hide, name));
            self.hidden = hidden;
            covered
        } else {
            self.policy.hide.matches(text)
        };
        if is_hidden {
            let message = format!("`{text}` is hidden, so this rule never decides");
            let help = "leave it out, here or in `hide`";
            self.warn(WarningKind::HiddenAndRuled, Token::Key, pointer, message, help);
            return;
        }
        if plain && name.is_wild() {
            let message =
                format!("`{text}` is a pattern here, and PolicyLayer would read it literally");
            let help =
                "a `description` or `$schema` in the document says that it is written for callgate";
            self.warn(WarningKind::LiteralWildcard, Token::Key, pointer, message, help);
        }
        let wider = wild.iter().find(|wide| {
            wide.place != *place
                && self.leaves_nothing(wide.rule, entry)
                && self.covers(&wide.name, name)
                && (wide.place < *place || !name.is_wild() || !self.covers(name, &wide.name))
        });
        if let Some(wide) = wider {
            self.beside(entry, wide);
        }
    }

    /// True if a wider entry with the rule `wide` makes this one pointless, or contradicts it.
    fn leaves_nothing(&self, wide: &Rule, entry: &ToolEntry<'_>) -> bool {
        let ToolEntry { rule, .. } = entry;
        if self.policy.mode_of(wide, None) == Mode::Shadow {
            return false;
        }
        match kind(wide) {
            Some(ActionKind::Deny) => {
                kind(rule) != Some(ActionKind::Deny) || reason(rule).is_none()
            }
            Some(ActionKind::RequireApproval) => entry.says_allow() || is_bare(rule),
            None => is_bare(rule),
        }
    }

    fn beside(&mut self, entry: &ToolEntry<'_>, wide: &ToolEntry<'_>) {
        const HELP: &str = "every entry that matches a tool applies, and the strictest wins: an exact name makes no exception from a pattern";
        let pointer = entry.rule.pointer.to_string();
        let (name, pattern) = (entry.name.as_str(), wide.name.as_str());
        let over = kind(wide.rule);
        let other = entry.says_allow() || kind(entry.rule) == Some(ActionKind::RequireApproval);
        if let (Some(over), true) = (over, other) {
            let does = match over {
                ActionKind::Deny => "denies it",
                ActionKind::RequireApproval => "asks a human",
            };
            let message = format!("this is at odds with `{pattern}`, which {does}");
            let at = format!("{pointer}/action");
            self.warn(WarningKind::ConflictingActions, Token::Value, at, message, HELP);
            return;
        }
        let (message, help) = if over == Some(ActionKind::Deny) {
            (format!("`{pattern}` denies it before this entry is asked"), HELP)
        } else if is_bare(wide.rule) {
            (format!("`{pattern}` permits `{name}` already"), "leave it out")
        } else {
            let message =
                format!("`{pattern}` goes for `{name}` as well, so this entry changes nothing");
            (message, HELP)
        };
        self.warn(WarningKind::PointlessEntry, Token::Key, pointer, message, help);
    }
}

fn reason(rule: &Rule) -> Option<&String> {
    rule.action.as_ref()?.reason.as_ref()
}

/// True if a rule only permits.
fn is_bare(rule: &Rule) -> bool {
    let Rule { pointer: _, mode: _, action, require, deny_if, approval_if, limits } = rule;
    action.is_none()
        && require.is_empty()
        && deny_if.is_empty()
        && approval_if.is_empty()
        && limits.is_empty()
}
