//! The policy that the translation writes: fields in the usual order, each with the place that it comes from.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::problems::YamlPlace;
use crate::engine::policy::ClauseList;
use crate::engine::policy::condition::Operator;

/// The document to write.
#[derive(Debug, Serialize)]
pub(crate) struct DraftPolicy {
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) default: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hide: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) all_tools: Option<DraftRule>,
    #[serde(serialize_with = "in_order", skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<(Name, DraftRule)>,
}

/// The name of a tool.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Name {
    pub(crate) text: String,
    #[serde(skip)]
    pub(crate) place: YamlPlace,
}

/// The rule for a tool.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DraftRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) require: Vec<DraftClause>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) deny_if: Vec<DraftClause>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) approval_if: Vec<DraftClause>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) limits: Vec<DraftLimit>,
}

/// An entry of `require`, `deny_if` or `approval_if`, with one message or the other.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct DraftClause {
    pub(crate) conditions: Vec<DraftCondition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_deny: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// A condition.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DraftCondition {
    pub(crate) path: String,
    #[serde(serialize_with = "as_word")]
    pub(crate) op: Operator,
    pub(crate) value: DraftValue,
    #[serde(skip)]
    pub(crate) place: YamlPlace,
}

/// What a condition compares with.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum DraftValue {
    Null,
    Bool(bool),
    /// As the file spells it.
    Number(Box<RawValue>),
    String(String),
    List(Vec<DraftValue>),
}

/// A limit.
#[derive(Debug, Serialize)]
pub(crate) struct DraftLimit {
    pub(crate) counter: String,
    pub(crate) window: &'static str,
    pub(crate) align: &'static str,
    pub(crate) max: u64,
    pub(crate) scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) increment: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) increment_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_deny: Option<String>,
    #[serde(skip)]
    pub(crate) place: YamlPlace,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn as_word<S: Serializer>(op: &Operator, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(op.word())
}

fn in_order<S: Serializer>(tools: &[(Name, DraftRule)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(tools.iter().map(|(name, rule)| (&name.text, rule)))
}

impl DraftPolicy {
    /// The place that a member comes from; `pointer` is its RFC 6901 pointer in the document.
    #[must_use]
    pub(crate) fn origin(&self, pointer: &str) -> Option<&YamlPlace> {
        let steps: Vec<String> = pointer
            .split('/')
            .skip(1)
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        match steps.as_slice() {
            ["hide", nth, ..] => self.hide.get(nth.parse::<usize>().ok()?).map(|name| &name.place),
            ["all_tools", rest @ ..] => self.all_tools.as_ref()?.origin(rest),
            ["tools", name, rest @ ..] => {
                let (name, rule) = self.tools.iter().find(|(own, _)| own.text == *name)?;
                Some(rule.origin(rest).unwrap_or(&name.place))
            }
            _ => None,
        }
    }
}

impl DraftRule {
    fn origin(&self, steps: &[&str]) -> Option<&YamlPlace> {
        let [list, nth, rest @ ..] = steps else { return None };
        let nth: usize = nth.parse().ok()?;
        if *list == "limits" {
            return self.limits.get(nth).map(|limit| &limit.place);
        }
        let clauses = match ClauseList::from_word(list)? {
            ClauseList::Require => &self.require,
            ClauseList::DenyIf => &self.deny_if,
            ClauseList::ApprovalIf => &self.approval_if,
        };
        let conditions = &clauses.get(nth)?.conditions;
        let condition = match rest {
            ["conditions", nth, ..] => conditions.get(nth.parse::<usize>().ok()?),
            _ => conditions.first(),
        };
        condition.map(|condition| &condition.place)
    }
}
