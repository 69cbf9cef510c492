//! Hints for common mistakes: spellings that people know from other languages and policies, and what to write instead.
//! `check` and `import` share them.

use crate::engine::limits::{Amount, MAX_WINDOW_SECONDS, NAMED_WINDOWS};
use crate::engine::policy::path::ArgPath;

/// A mistake: its spellings, separated by blanks, in lower case and without marks; and the word that was meant, or
/// advice.
pub type Mistake = (&'static str, &'static str);

/// The longest text that gets a hint, in bytes.
const MAX_LEN: usize = 64;

/// `default` and the values of `methods`.
pub const EFFECTS: &[Mistake] = &[
    (
        "block blocked blacklist closed denied disallow false forbid forbidden no none refuse reject restrict",
        "deny",
    ),
    ("accept allowed approved on open pass permit permitted true whitelist yes", "allow"),
    (
        "approval approve ask confirm hitl human manual prompt requireapproval review",
        "a default cannot ask: write `\"deny\"`, and give each tool that a human must approve `\"action\": \"require_approval\"`",
    ),
    ("hidden hide", "write `\"deny\"`, and beside it `\"hide_denied\": true`"),
    (
        "audit dryrun log logonly monitor observe shadow warn",
        "`\"mode\": \"shadow\"` records and blocks nothing; `default` is what it would do: `\"deny\"` or `\"allow\"`",
    ),
];

/// `action`
pub const ACTIONS: &[Mistake] = &[
    ("block blocked denied disallow drop forbid forbidden never no refuse reject", "deny"),
    (
        "approval approvalrequired approve ask confirm confirmation escalate hitl human manual needsapproval prompt \
         requireconfirmation requiresapproval review user",
        "require_approval",
    ),
    ("accept allowed always pass permit permitted yes", "allow"),
    ("hidden hide remove", "name the tool in `hide`, at the top of the policy"),
    ("limit limited ratelimit throttle", "leave `action` out, and write `limits` or `rate_limit`"),
    (
        "audit dryrun log logonly monitor observe shadow warn",
        "write `\"mode\": \"shadow\"` in this rule: it records and blocks nothing",
    ),
    (
        "check conditional evaluate when",
        "leave `action` out: `require` and `deny_if` decide by themselves",
    ),
];

/// The `action` of Intercept that a text was meant to be, or advice.
#[must_use]
pub fn intercept_action(text: &str) -> Option<String> {
    const OWN: &[Mistake] = &[
        ("check conditional when", "evaluate"),
        ("limit limited ratelimit throttle", "leave `action` out, and write `rate_limit`"),
        ("hidden hide remove", "name the tool in `hide`, at the top of the policy"),
        (
            "audit dryrun log logonly monitor observe shadow warn",
            "Intercept's rules do not only record; `\"mode\": \"shadow\"` in the policy that comes of it does",
        ),
    ];
    meant(text, OWN).or_else(|| meant(text, ACTIONS)).map(str::to_owned)
}

/// `mode`
pub const MODES: &[Mistake] = &[
    (
        "audit detect dryrun learn log logonly monitor observe passive permissive report test warn",
        "shadow",
    ),
    (
        "active block blocking deny enforced enforcing live normal on prevent production strict",
        "enforce",
    ),
];

/// `scope`
pub const SCOPES: &[Mistake] = &[
    (
        "account agent apikey client customer key org organisation organization principal team tenant user",
        "callgate knows callers by their grant: write `\"grant\"`, and start each with a `--grant NAME` of its own",
    ),
    ("all everyone everybody global host machine shared total", "server"),
    ("chat connection conversation process run thread", "session"),
    (
        "call rule tool",
        "a counter belongs to the tools that name it: leave `scope` out, and give this `counter` a name of its own",
    ),
];

/// `align`
pub const ALIGNS: &[Mistake] = &[
    ("clock day fixed hour midnight minute tumbling utc week", "calendar"),
    ("false none rolling sliding", "leave `align` out: windows slide"),
];

/// `expect` of a test.
pub const EXPECTS: &[Mistake] = &[
    ("accept allowed ok pass permit permitted success true", "allow"),
    (
        "block blocked denied error false forbidden limit limited ratelimited refused reject rejected",
        "deny",
    ),
    ("approval approvalrequired approve asked confirm prompt requireapproval", "ask"),
    ("hidden", "hide"),
];

/// `version`
pub const VERSIONS: &[Mistake] = &[("10 100 latest v1 v10", "1")];

/// Operators as other languages write them, where callgate has one that says the same.
const OPERATORS: &[Mistake] = &[
    ("= == === eql equal equals is same", "eq"),
    ("!= !== <> ≠ =/= different isnot ne nequals noteq notequal notequals", "neq"),
    ("< before below less lessthan under", "lt"),
    (
        "<= =< ≤ atmost le lessorequal lessthanequal lessthanorequal lessthanorequals lessthanorequalto max maximum upto",
        "lte",
    ),
    ("> above after exceeds greater greaterthan more morethan over", "gt"),
    (
        ">= => ≥ atleast ge greaterorequal greaterthanequal greaterthanorequal greaterthanorequals greaterthanorequalto min minimum",
        "gte",
    ),
    ("∈ among anyof enum isin memberof oneof", "in"),
    ("∉ !in nin noneof notin notoneof", "not_in"),
    ("=~ ~ ~= ~* match matches matchesregex pattern re regexmatch regexp rlike test", "regex"),
    ("has hassubstring include includes substring", "contains"),
    ("defined exist has? hasfield isset present", "exists"),
];

/// Operators that callgate does not have, and how to say the same.
const NO_OPERATORS: &[Mistake] = &[
    (
        "!~ !=~ doesnotmatch nomatch notmatch notmatches notregex nregex",
        "`regex` says what matches: put it into `deny_if` to deny that, and into `require` to deny all else",
    ),
    (
        "doesnotcontain doesntcontain excludes ncontains notcontain notcontains notincludes",
        "`contains` says what is there: put it into `deny_if` to deny that",
    ),
    (
        "absent doesnotexist empty isabsent isempty ismissing missing notdefined notexist notexists notpresent undefined unset",
        "write `\"op\": \"exists\", \"value\": false`",
    ),
    ("isdefined ispresent notempty required", "write `\"op\": \"exists\", \"value\": true`"),
    ("isnull nil null", "write `\"op\": \"eq\", \"value\": null`; what is left out is not null"),
    ("isnotnull notnil notnull", "write `\"op\": \"neq\", \"value\": null`"),
    ("isfalse isnottrue", "write `\"op\": \"eq\", \"value\": false`"),
    ("istrue", "write `\"op\": \"eq\", \"value\": true`"),
    (
        "between inrange range within",
        "write two conditions, `gte` with the least and `lte` with the most",
    ),
    (
        "fnmatch glob ilike like wildcard",
        "write `regex`: `^` and `$` stand at its ends, and `(?s:.*)` for `*` or `%`",
    ),
    (
        "containsignorecase equalsignorecase icontains iequals iexact",
        "write `regex`, with `(?i)` before what is the same in small and in capital letters",
    ),
    (
        "len length lengthgt lengthlt lengthlte maxlen maxlength minlen minlength size",
        "no operator counts characters; the `regex` `^(?s:.{0,100})$` takes a text of at most 100",
    ),
    (
        "instanceof istype kind type typeof",
        "no operator tests a type: `gte` compares numbers only, and `regex` text only, with text; in `require` all else is denied",
    ),
    (
        "allin containsall every subset subsetof superset",
        "write `[*]` in the path to speak of each element: `args.items[*]` with `in`",
    ),
    (
        "and any all not or",
        "conditions of one entry must all hold; entries of `deny_if` stand side by side, and `require` is `deny_if` the other way round",
    ),
];

/// A text in lower case without the marks between its words, as spellings are compared. An operator of marks stays as
/// it is.
#[must_use]
fn folded(text: &str) -> String {
    let text = text.trim();
    if !text.chars().any(char::is_alphanumeric) || text.starts_with('!') {
        return text.to_lowercase();
    }
    text.chars().filter(|c| c.is_alphanumeric() || *c == '?').flat_map(char::to_lowercase).collect()
}

/// The word that a table gives for a mistake, or its advice.
#[must_use]
pub fn meant(text: &str, table: &[Mistake]) -> Option<&'static str> {
    if text.len() > MAX_LEN {
        return None;
    }
    let folded = folded(text);
    let is_it = |spellings: &str| spellings.split_ascii_whitespace().any(|other| other == folded);
    table.iter().find(|(spellings, _)| is_it(spellings)).map(|(_, meant)| *meant)
}

/// The operator that was meant.
#[must_use]
pub fn operator(text: &str) -> Option<&'static str> {
    meant(text, OPERATORS)
}

/// How to say what an operator of another language says of a value, where callgate has no such operator.
#[must_use]
pub fn no_operator(text: &str, value: Option<&str>) -> Option<String> {
    if text.len() > MAX_LEN {
        return None;
    }
    let Some(pattern) = affix_pattern(text, value) else {
        return meant(text, NO_OPERATORS).map(str::to_owned);
    };
    let pattern = serde_json::to_string(&pattern).unwrap_or_default();
    Some(format!("write `\"op\": \"regex\", \"value\": {pattern}`"))
}

/// The same as a file of Intercept says it, or how the policy that comes of it can.
#[must_use]
pub fn intercept_no_operator(text: &str, value: Option<&str>) -> Option<String> {
    if text.len() > MAX_LEN {
        return None;
    }
    if let Some(pattern) = affix_pattern(text, value) {
        return Some(format!("write `op: regex, value: '{}'`", pattern.replace('\'', "''")));
    }
    let hint = meant(text, NO_OPERATORS)?;
    if ["`deny_if`", "`require`", "`[*]`"].iter().any(|word| hint.contains(word)) {
        return Some(format!("leave this condition out; in the policy that comes of it, {hint}"));
    }
    let hint = hint.replace("\"op\": \"exists\"", "op: exists").replace("\"op\": \"eq\"", "op: eq");
    Some(hint.replace("\"op\": \"neq\"", "op: neq").replace("\"value\": ", "value: "))
}

/// The pattern of an operator that compares how a text begins or ends.
fn affix_pattern(operator: &str, value: Option<&str>) -> Option<String> {
    let [before, behind] = match folded(operator).as_str() {
        "beginswith" | "beginwith" | "hasprefix" | "prefix" | "startswith" | "startwith" | "^=" => {
            ["^", "(?s:.*)$"]
        }
        "endswith" | "endwith" | "hassuffix" | "suffix" | "$=" => ["^(?s:.*)", "$"],
        _ => return None,
    };
    let value = value.filter(|value| value.len() <= MAX_LEN).unwrap_or("TEXT");
    Some([before, &regex::escape(value), behind].concat())
}

/// A stretch of time in words.
enum Duration {
    Seconds(u64),
    Session,
}

impl Duration {
    /// `10m`, `1h30m`, `2 days`, `per minute`, `PT10M`, `hourly`, `seconds`.
    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_LEN {
            return None;
        }
        let text = text.trim().to_lowercase();
        let text = ["per ", "every ", "each ", "last ", "a ", "an ", "pt"]
            .iter()
            .fold(text.as_str(), |text, word| text.strip_prefix(word).unwrap_or(text).trim_start());
        match text {
            "chat" | "connection" | "conversation" | "ever" | "forever" | "infinite"
            | "infinity" | "lifetime" | "never" | "none" | "process" | "run" | "total" => {
                return Some(Duration::Session);
            }
            _ => {}
        }
        if let Some(seconds) = seconds_of(text) {
            return Some(Duration::Seconds(seconds));
        }
        let mut total = 0_u64;
        let mut rest = text.strip_prefix('p').unwrap_or(text);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (count, behind) = rest.split_at_checked(digits)?;
            let behind = behind.trim_start_matches([' ', '-', '_', 't']);
            let end = behind.find(|c: char| !c.is_alphabetic()).unwrap_or(behind.len());
            let (unit, behind) = behind.split_at_checked(end)?;
            let seconds = seconds_of(unit)?.checked_mul(count.parse().ok()?)?;
            total = total.checked_add(seconds)?;
            rest = behind.trim_start_matches([' ', ',', '-', '_']);
        }
        Some(Duration::Seconds(total)).filter(|_| total > 0)
    }

    /// As a policy writes it; `None` if it is longer than a window may be.
    fn written(&self) -> Option<String> {
        let seconds = match self {
            Duration::Session => return Some("\"session\"".to_owned()),
            Duration::Seconds(seconds) => *seconds,
        };
        let named = NAMED_WINDOWS.iter().find(|(_, length)| u64::from(*length) == seconds);
        let written = named.map_or(seconds.to_string(), |(name, _)| format!("\"{name}\""));
        Some(written).filter(|_| seconds <= u64::from(MAX_WINDOW_SECONDS))
    }
}

/// The seconds of a unit of time. A month has 30 days.
fn seconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "s" | "sec" | "secs" | "second" | "seconds" | "secondly" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" | "minutely" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" | "hourly" => 3600,
        "d" | "day" | "days" | "daily" => 86_400,
        "w" | "wk" | "week" | "weeks" | "weekly" => 604_800,
        "mo" | "month" | "months" | "monthly" => 2_592_000,
        "y" | "yr" | "year" | "years" | "yearly" | "annual" | "annually" => 31_536_000,
        _ => return None,
    })
}

/// What to write for a window in words: the name of one, or what to do.
#[must_use]
pub fn window(text: &str) -> Option<String> {
    if text.trim().parse::<u64>().is_ok() {
        return Some(format!("write the number of seconds without quotes: `{}`", text.trim()));
    }
    Some(match Duration::read(text)?.written() {
        Some(written) if written.starts_with('"') => written.trim_matches('"').to_owned(),
        Some(seconds) => format!("write the number of seconds: `{seconds}`"),
        None => format!("the longest window has {MAX_WINDOW_SECONDS} seconds, which is 366 days"),
    })
}

/// The same for Intercept, which has three windows.
#[must_use]
pub fn intercept_window(text: &str) -> Option<String> {
    let written = Duration::read(text)?.written()?;
    Some(match written.as_str() {
        "\"minute\"" | "\"hour\"" | "\"day\"" => written.trim_matches('"').to_owned(),
        other => beyond_intercept(other),
    })
}

fn beyond_intercept(window: &str) -> String {
    format!(
        "Intercept has no such window: import one of its three, and write `\"window\": {window}` in the policy that comes of it"
    )
}

/// A rate in words: how many, and in what time.
fn rate_in(text: &str) -> Option<(u64, Duration)> {
    if text.len() > MAX_LEN {
        return None;
    }
    let text = text.trim().to_lowercase();
    let short = [("rps", "s"), ("rpm", "m"), ("rph", "h"), ("rpd", "d")];
    let short = short.iter().find_map(|(end, unit)| Some((text.strip_suffix(end)?, *unit)));
    let parted = || {
        let marks = ["/", " per ", "per", "@", " every ", " in ", " an ", " a ", ":"];
        marks.iter().find_map(|mark| text.split_once(mark))
    };
    let (count, window) = short.or_else(parted)?;
    let count = count.trim().trim_end_matches(|c: char| c.is_alphabetic() || c == ' ');
    let count: u64 = count.replace(['_', ','], "").parse().ok()?;
    let is_count =
        text.starts_with(|c: char| c.is_ascii_digit()) && (1..=Amount::MAX_WHOLE).contains(&count);
    Some((count, Duration::read(window)?)).filter(|_| is_count)
}

/// What to write for a rate in words, such as `10/min`.
#[must_use]
pub fn rate(text: &str) -> String {
    let written = rate_in(text).and_then(|(count, window)| Some((count, window.written()?)));
    let (count, window) = written.unwrap_or((10, "\"minute\"".to_owned()));
    format!("write `{{ \"max\": {count}, \"window\": {window} }}`")
}

/// The same for Intercept, which has rates in words.
#[must_use]
pub fn intercept_rate(text: &str) -> Option<String> {
    let (count, window) = rate_in(text)?;
    let written = window.written()?;
    Some(match written.as_str() {
        "\"minute\"" | "\"hour\"" | "\"day\"" => {
            format!("did you mean `{count}/{}`?", written.trim_matches('"'))
        }
        other => format!("such as `5/hour`; {}", beyond_intercept(other)),
    })
}

/// What to write for a number in words.
#[must_use]
pub fn number(text: &str) -> Option<String> {
    if text.len() > MAX_LEN {
        return None;
    }
    if let "infinite" | "infinity" | "nolimit" | "none" | "unlimited" = folded(text).as_str() {
        return Some("leave the limit out: what no limit names is not limited".to_owned());
    }
    let plain: String =
        text.chars().filter(|c| !matches!(c, '_' | ',' | '$' | '€' | '£' | ' ')).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) && plain.parse::<f64>().is_ok() {
        return Some(format!("write the number without quotes: `{plain}`"));
    }
    let (count, window) = rate_in(text)?;
    Some(format!("write `\"max\": {count}, \"window\": {}`", window.written()?))
}

/// The path that an invalid path was meant to be.
#[must_use]
pub fn path(text: &str) -> Option<String> {
    const ROOTS: [&str; 9] = [
        "params.arguments",
        "params.args",
        "arguments",
        "params",
        "input",
        "args",
        "argument",
        "arg",
        "parameters",
    ];
    if text.len() > MAX_LEN || text.starts_with("state.") {
        return None;
    }
    let plain = text.trim().replace("[]", "[*]").replace(".*", "[*]").replace('\'', "\"");
    let plain = plain.trim_start_matches('$').trim_start_matches(['.', '/']);
    let plain = if plain.contains('"') { plain.to_owned() } else { plain.replace('/', ".") };
    let rest = ROOTS.iter().find_map(|root| {
        plain.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    });
    let path = match rest {
        Some(rest) => ["args", rest].concat(),
        None if plain.starts_with('[') => ["args", &plain].concat(),
        None if plain.contains(char::is_whitespace) => return None,
        None => ["args.", &plain].concat(),
    };
    Some(path).filter(|path| path != text && ArgPath::parse(path).is_ok())
}

#[cfg(test)]
mod tests {
    use super::{
        ACTIONS, ALIGNS, Duration, EFFECTS, EXPECTS, MODES, NO_OPERATORS, OPERATORS, SCOPES,
        VERSIONS, folded, meant, number, path, rate, window,
    };
    use crate::engine::compile::shape::{
        ASKING, CLAUSE, CONDITION, DOCUMENT, LIMIT, RATE_LIMIT, RULE, TEST,
    };

    #[test]
    fn no_spelling_stands_twice_in_a_table() {
        let values = [EFFECTS, ACTIONS, MODES, SCOPES, ALIGNS, EXPECTS, VERSIONS];
        let shapes = [DOCUMENT, RULE, CLAUSE, ASKING, CONDITION, LIMIT, RATE_LIMIT, TEST];
        let fields = shapes.map(|shape| shape.mistakes);
        let operators = [OPERATORS, NO_OPERATORS].concat();
        for table in values.into_iter().chain(fields).chain([operators.as_slice()]) {
            let spellings = || table.iter().flat_map(|(list, _)| list.split_ascii_whitespace());
            for spelling in spellings() {
                assert_eq!(spellings().filter(|other| *other == spelling).count(), 1, "{spelling}");
                assert_eq!(folded(spelling), spelling);
                let meant = meant(spelling, table).unwrap_or_default();
                assert!(!meant.is_empty() && !meant.ends_with('.'), "{spelling}");
            }
        }
    }

    #[test]
    fn times_in_words_are_windows() {
        for (text, written) in [
            ("10m", "`600`"),
            ("1h", "hour"),
            ("60s", "minute"),
            ("30s", "`30`"),
            ("2 days", "`172800`"),
            ("1h30m", "`5400`"),
            ("1 hour 30 minutes", "`5400`"),
            ("PT10M", "`600`"),
            ("P7D", "week"),
            ("per minute", "minute"),
            ("hourly", "hour"),
            ("month", "`2592000`"),
            ("3 years", "366 days"),
            ("3600", "`3600`"),
            ("forever", "session"),
        ] {
            let hint = window(text).unwrap_or_default();
            assert!(hint.contains(written), "{text}: {hint}");
        }
        for text in ["", "m10", "10", "10 parsecs", "0s", "99999999999999999999s", "soon"] {
            assert!(Duration::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn rates_numbers_and_paths_in_words_are_read() {
        for (text, written) in [
            ("10/min", r#"{ "max": 10, "window": "minute" }"#),
            ("1,000 requests per day", r#"{ "max": 1000, "window": "day" }"#),
            ("5/10m", r#"{ "max": 5, "window": 600 }"#),
            ("20rpm", r#"{ "max": 20, "window": "minute" }"#),
            ("often", r#"{ "max": 10, "window": "minute" }"#),
        ] {
            assert!(rate(text).contains(written), "{text}: {}", rate(text));
        }
        for (text, written) in [
            ("10", "`10`"),
            ("$1,000.50", "`1000.50`"),
            ("unlimited", "leave the limit out"),
            ("10/min", r#"`"max": 10, "window": "minute"`"#),
        ] {
            let hint = number(text).unwrap_or_default();
            assert!(hint.contains(written), "{text}: {hint}");
        }
        assert_eq!(number("ten"), None);
        for (text, written) in [
            ("tier", "args.tier"),
            ("arguments.a.b", "args.a.b"),
            ("$.a", "args.a"),
            ("/a/b", "args.a.b"),
            ("params.arguments.a", "args.a"),
            ("args.a[].b", "args.a[*].b"),
            ("args['a b']", "args[\"a b\"]"),
        ] {
            assert_eq!(path(text).as_deref(), Some(written), "{text}");
        }
        for text in ["args", "args.a..b", "state.a.b", "two words"] {
            assert_eq!(path(text), None, "{text}");
        }
    }
}
