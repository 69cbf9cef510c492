//! Which tools a policy cuts from `tools/list`, and when two policies cut different ones.

use crate::engine::policy::{ActionKind, Effect, Mode, NameSet, Policy, Rule};
use crate::engine::work::{TooCostly, Work};

/// True if a tool leaves lists (contract 3.1), or if telling that takes more work than is left.
#[must_use]
pub fn is_cut(policy: &Policy, tool: &str, work: &mut Work) -> bool {
    let is_cut = |work: &mut Work| {
        Ok::<_, TooCostly>(
            policy.hide.matches_within(tool, work)?
                || policy.hide_denied && never_passes_within(policy, tool, work)?,
        )
    };
    is_cut(work).unwrap_or(true)
}

/// True if an enforced policy lets no call of a tool pass, whatever its arguments (contract 3.1, `hide_denied`).
#[must_use]
pub fn never_passes(policy: &Policy, tool: &str) -> bool {
    // This much work always suffices.
    never_passes_within(policy, tool, &mut Work::of(u64::MAX)).unwrap_or(true)
}

/// [`never_passes`], within the work that is left.
///
/// # Errors
/// The work does not suffice.
pub fn never_passes_within(
    policy: &Policy,
    tool: &str,
    work: &mut Work,
) -> Result<bool, TooCostly> {
    let matching = policy.tools.matching_within(tool, work)?;
    let listed = policy.default == Effect::Allow || !matching.rules.is_empty();
    Ok(!listed
        || policy.is_confusable_within(tool, &matching, work)?
        || matching.rules.into_iter().chain(&policy.all_tools).any(|rule| is_closed(policy, rule)))
}

/// True if a rule lets no call pass.
#[must_use]
pub fn is_closed(policy: &Policy, rule: &Rule) -> bool {
    policy.mode_of(rule, None) == Mode::Enforce
        && (rule.action.as_ref().is_some_and(|action| action.kind == ActionKind::Deny)
            || rule.deny_if.iter().any(|clause| clause.conditions.is_empty()))
}

/// True if two policies may cut different tools from lists, so that clients have to list them again (contract W5).
#[must_use]
pub fn lists_differ(one: &Policy, other: &Policy, shadow: bool) -> bool {
    Cuts::of(one, shadow) != Cuts::of(other, shadow)
}

/// The parts of a policy that decide what it cuts from lists.
enum Cuts<'p> {
    Nothing,
    Hidden(&'p NameSet),
    /// `hide_denied`, and no call passes.
    All,
    /// `hide_denied`: `hide`, the default, and which entries are closed. Open entries count too, because names that
    /// can be mistaken for theirs are cut.
    Denied(&'p Policy),
}

impl<'p> Cuts<'p> {
    fn of(policy: &'p Policy, shadow: bool) -> Self {
        if policy.document_mode(Mode::forced_by(shadow)) == Mode::Shadow {
            return Cuts::Nothing;
        }
        if !policy.hide_denied {
            return if policy.hide.is_empty() { Cuts::Nothing } else { Cuts::Hidden(&policy.hide) };
        }
        if policy.all_tools.as_ref().is_some_and(|rule| is_closed(policy, rule)) {
            return Cuts::All;
        }
        Cuts::Denied(policy)
    }
}

impl PartialEq for Cuts<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Cuts::Nothing, Cuts::Nothing) | (Cuts::All, Cuts::All) => true,
            (Cuts::Hidden(one), Cuts::Hidden(other)) => one.are(other),
            (Cuts::Denied(one), Cuts::Denied(other)) => {
                one.default == other.default
                    && one.hide.are(&other.hide)
                    && one.tools.rules().len() == other.tools.rules().len()
                    && closed(one).eq(closed(other))
            }
            _ => false,
        }
    }
}

/// Each entry of `tools` and whether it is closed, by name.
fn closed(policy: &Policy) -> impl Iterator<Item = (&str, bool)> {
    let entries = policy.tools.iter().map(|(name, rule)| (name, is_closed(policy, rule)));
    let mut entries: Vec<(&str, bool)> = entries.collect();
    entries.sort_unstable();
    entries.into_iter()
}

#[cfg(test)]
mod tests {
    use super::lists_differ;
    use crate::engine::compile::compile;

    /// contract W5
    #[test]
    fn policies_differ_if_they_cut_different_tools() {
        const ALLOW: &str = r#""default":"allow""#;
        const DENY: &str = r#""default":"deny","hide_denied":true"#;
        let rows = [
            ("", "", false),
            ("", r#","hide":[]"#, false),
            ("", r#","hide":["a"]"#, true),
            (r#","hide":["a","b*"]"#, r#","hide":["b*","a"]"#, false),
            (r#","hide":["a"]"#, r#","hide":["b"]"#, true),
            (r#","hide":["a"]"#, r#","hide":["a"],"tools":{"b":{"action":"deny"}}"#, false),
            ("", r#","hide_denied":true"#, true),
            ("", r#","tools":{"a":{"rate_limit":{"max":1,"window":60}}}"#, false),
            (r#","hide":["a"]"#, r#","hide":["a"],"mode":"shadow""#, true),
        ];
        for (before, after, differ) in rows {
            assert_eq!(differ_as(ALLOW, before, after), differ, "{before} and {after}");
        }
        let rows = [
            ("", r#","tools":{"a":{}}"#, true),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{"action":"deny"}}"#, true),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{"action":"require_approval"}}"#, false),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{"deny_if":[{"conditions":[]}]}}"#, true),
            (r#","tools":{"a":{}}"#, r#","tools":{"a":{},"b":{}}"#, true),
            (
                r#","all_tools":{"action":"deny"}"#,
                r#","all_tools":{"action":"deny"},"tools":{"a":{}}"#,
                false,
            ),
            ("", r#","all_tools":{"action":"deny"}"#, true),
        ];
        for (before, after, differ) in rows {
            assert_eq!(differ_as(DENY, before, after), differ, "{before} and {after}");
        }
    }

    fn differ_as(head: &str, before: &str, after: &str) -> bool {
        let policy = |rest: &str| {
            let text = format!(r#"{{"version":"1",{head}{rest}}}"#);
            compile(text.as_bytes()).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
        };
        let (before, after) = (policy(before), policy(after));
        assert!(!lists_differ(&before, &after, true), "nothing is cut in shadow mode");
        lists_differ(&before, &after, false)
    }
}
