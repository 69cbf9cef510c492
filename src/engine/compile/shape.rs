//! The objects of a policy: their fields, the usual misspellings, and an example of each.

use super::hints::Mistake;

/// An object of a policy.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The names of its fields.
    pub fields: &'static [&'static str],
    /// Other names for them.
    pub mistakes: &'static [Mistake],
    /// The help for a value that is no object.
    pub help: &'static str,
}

/// The document.
pub const DOCUMENT: Shape = Shape {
    fields: &[
        "$schema",
        "version",
        "description",
        "default",
        "mode",
        "hide",
        "hide_denied",
        "all_tools",
        "tools",
        "methods",
        "tests",
    ],
    mistakes: DOCUMENT_MISTAKES,
    help: r#"it looks like this: `{ "version": "1", "default": "deny", "tools": {} }`"#,
};
/// A rule.
pub const RULE: Shape = Shape {
    fields: &[
        "description",
        "mode",
        "action",
        "reason",
        "require",
        "deny_if",
        "approval_if",
        "limits",
        "rate_limit",
    ],
    mistakes: RULE_MISTAKES,
    help: r#"`{}` permits the tool, and `{ "action": "deny" }` denies it"#,
};
/// A limit.
pub const LIMIT: Shape = Shape {
    fields: &[
        "counter",
        "window",
        "max",
        "scope",
        "increment",
        "increment_from",
        "on_deny",
        "align",
    ],
    mistakes: LIMIT_MISTAKES,
    help: r#"it looks like this: `{ "counter": "calls", "window": "minute", "max": 10 }`"#,
};
/// A test.
pub const TEST: Shape = Shape {
    fields: &["name", "tool", "arguments", "at", "times", "expect", "rule"],
    mistakes: TEST_MISTAKES,
    help: r#"it looks like this: `{ "name": "it is denied", "tool": "x", "arguments": {}, "expect": "deny" }`"#,
};
/// An entry of `require` or `deny_if`.
pub const CLAUSE: Shape = Shape {
    fields: &["conditions", "on_deny"],
    mistakes: CLAUSE_MISTAKES,
    help: r#"it looks like this: `{ "conditions": [{ "path": "args.x", "op": "eq", "value": 1 }], "on_deny": "Why." }`"#,
};
/// An entry of `approval_if`.
pub const ASKING: Shape = Shape {
    fields: &["conditions", "reason"],
    mistakes: ASKING_MISTAKES,
    help: r#"it looks like this: `{ "conditions": [{ "path": "args.x", "op": "eq", "value": 1 }], "reason": "Why." }`"#,
};
/// A condition.
pub const CONDITION: Shape = Shape {
    fields: &["path", "op", "value"],
    mistakes: CONDITION_MISTAKES,
    help: r#"it looks like this: `{ "path": "args.x", "op": "eq", "value": 1 }`"#,
};
/// `rate_limit`
pub const RATE_LIMIT: Shape = Shape {
    fields: &["max", "window"],
    mistakes: RATE_LIMIT_MISTAKES,
    help: r#"it looks like this: `{ "max": 10, "window": "minute" }`"#,
};
/// Fields of the document.
const DOCUMENT_MISTAKES: &[Mistake] = &[
    ("rules policies tool toolrules", "tools"),
    ("defaultaction defaultpolicy defaulteffect fallback", "default"),
    ("comment comments name notes title", "description"),
    ("hidden hidetools hiddentools", "hide"),
    ("global all alltool common", "all_tools"),
    (
        "allow allowed allowedtools allowlist allowtools permit whitelist",
        "name the tools in `tools`, each with its rule: `\"tools\": { \"search\": {} }`",
    ),
    (
        "block blocked blockedtools blacklist deny denied deniedtools denylist denytools forbidden",
        "name the tools in `hide`, or in `tools` with `{ \"action\": \"deny\" }`",
    ),
    (
        "action approvalif conditions denyif limit limits ratelimit ratelimits reason require",
        "this belongs into the rule of a tool, or into `all_tools` for all of them",
    ),
    (
        "command args env mcpservers servers",
        "this belongs into the client's configuration: a policy rules the tools of one server",
    ),
];

/// Fields of a rule.
const RULE_MISTAKES: &[Mistake] = &[
    ("denyreason errormessage message", "reason"),
    ("comment comments name notes title", "description"),
    ("allowif allowwhen must onlyif requires", "require"),
    ("blockif denywhen forbid forbidif rejectif unless", "deny_if"),
    ("approvewhen approveif askif confirmif escalateif requireapprovalif", "approval_if"),
    ("limit quota quotas", "limits"),
    ("rate ratelimits throttle", "rate_limit"),
    (
        "ondeny",
        "`on_deny` stands in each entry of `require`, `deny_if` and `limits`; beside `action` the message is `reason`",
    ),
    (
        "condition conditions path op value when",
        "conditions stand in an entry: `\"require\": [{ \"conditions\": [ … ] }]` or `\"deny_if\": [{ \"conditions\": [ … ] }]`",
    ),
    (
        "counter increment max scope state window",
        "this belongs into an entry of `limits`, or into `rate_limit`",
    ),
    (
        "allow allowed deny denied block effect enabled permit",
        "`{}` permits the tool, and `\"action\": \"deny\"` denies it",
    ),
    (
        "approval approve ask confirm requireapproval requiresapproval",
        "write `\"action\": \"require_approval\"`",
    ),
    ("hidden hide visible", "name the tool in `hide`, at the top of the policy"),
    ("rules", "a tool has one rule: its fields stand here"),
];

/// Fields of an entry of `require` and `deny_if`.
const CLAUSE_MISTAKES: &[Mistake] = &[
    ("all allof and condition if match rules when", "conditions"),
    ("denymessage error message msg reason", "on_deny"),
    ONE_CONDITION,
    EITHER,
];

/// Fields of an entry of `approval_if`.
const ASKING_MISTAKES: &[Mistake] = &[
    ("all allof and condition if match rules when", "conditions"),
    ("denymessage error message msg ondeny", "reason"),
    ONE_CONDITION,
    EITHER,
];

const ONE_CONDITION: Mistake = (
    "arg field op operator path value",
    "a condition stands in a list: `\"conditions\": [{ \"path\": …, \"op\": …, \"value\": … }]`",
);
const EITHER: Mistake = (
    "any anyof or",
    "all conditions of an entry must hold; entries stand side by side, so write one for each",
);

/// Fields of a condition.
const CONDITION_MISTAKES: &[Mistake] = &[
    ("arg argument attribute field jsonpath key name param parameter property", "path"),
    ("cmp comparator comparison operation operator", "op"),
    ("expected equals pattern than values", "value"),
    ("message ondeny reason", "the message stands beside `conditions`, not in a condition"),
    (
        "negate negated not",
        "no condition is turned round: take the opposite operator, or `deny_if` in place of `require`",
    ),
    ("and any or", "all conditions of an entry must hold; entries stand side by side"),
];

/// Fields of a limit.
const LIMIT_MISTAKES: &[Mistake] = &[
    ("id key name", "counter"),
    ("amount budget calls cap count limit maxcalls maximum most quota requests", "max"),
    ("duration every interval period seconds ttl windowseconds", "window"),
    ("cost step weight", "increment"),
    ("costfrom field incrementby incrementpath path", "increment_from"),
    ("errormessage message reason", "on_deny"),
    (
        "condition conditions when",
        "a limit counts every call of its rule; conditions stand in `require` and `deny_if`",
    ),
];

/// Fields of `rate_limit`.
const RATE_LIMIT_MISTAKES: &[Mistake] = &[
    ("amount calls count limit maxcalls maximum quota requests", "max"),
    ("duration every interval per period seconds windowseconds", "window"),
    (
        "align counter increment incrementfrom message ondeny reason scope",
        "`rate_limit` has `max` and `window` only: write an entry of `limits`",
    ),
];

/// Fields of a test.
const TEST_MISTAKES: &[Mistake] = &[
    ("args input params parameters", "arguments"),
    ("call method toolname", "tool"),
    ("action decision expected expects outcome result then verdict", "expect"),
    ("calls count repeat", "times"),
    ("clock date now time timestamp when", "at"),
    ("description title why", "name"),
];
