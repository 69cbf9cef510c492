//! The manual: one Markdown page a topic, embedded in the binary. `callgate help TOPIC` shows a page, the README links
//! to the same files, and the tests run what they show.

/// A page of the manual.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// The topic: the page's file name without `.md`.
    pub topic: &'static str,
    /// What the page is about, in a few words.
    pub summary: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

/// Pages that belong together, under a title.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// The title.
    pub title: &'static str,
    /// The pages, in reading order.
    pub pages: &'static [Page],
}

macro_rules! page {
    ($topic:literal, $summary:literal) => {
        Page { topic: $topic, summary: $summary, text: include_str!(concat!($topic, ".md")) }
    };
}

/// All pages, in reading order.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Getting started",
        pages: &[
            page!("quick-start", "try callgate before a real server"),
            page!("writing-policies", "from an unknown server to a tested policy"),
            page!("clients", "set up Claude Desktop, Claude Code, Cursor, VS Code"),
            page!("troubleshooting", "when a server does not start, and other surprises"),
            page!("scripts", "piped sessions and exit codes"),
            page!("recipes", "how to express common rules, and what has no rule"),
        ],
    },
    Group {
        title: "Commands",
        pages: &[
            page!("callgate", "the command line: verbs, exit codes, environment, files"),
            page!("wrap", "run an MCP server behind a policy"),
            page!("scan", "propose a policy from a server's tools"),
            page!("check", "validate policies and run their tests"),
            page!("explain", "explain how a policy decides a call"),
            page!("replay", "record sessions and decide them again"),
            page!("import", "convert an Intercept policy"),
            page!("schema", "the JSON Schema of policy files, for editors"),
            page!("status", "sessions, counters and recent denials"),
            page!("log", "show, follow and verify the audit log"),
            page!("completions", "completion scripts for shells"),
            page!("help", "this manual in the terminal"),
        ],
    },
    Group {
        title: "The policy file",
        pages: &[
            page!("policy", "an example and the format at a glance"),
            page!("document", "the fields at the top of a policy"),
            page!("rules", "the fields of a rule"),
            page!("names", "tool names, patterns and confusable names"),
            page!("conditions", "tests on the arguments of a call"),
            page!("paths", "how a condition finds an argument"),
            page!("operators", "how values are compared"),
            page!("doubt", "absent and undecidable values"),
            page!("limits", "rate limits and budgets"),
            page!("methods", "allow or deny whole MCP methods"),
            page!("tests", "examples that a policy must decide as written"),
            page!("shadow", "try a policy without blocking anything"),
            page!("decisions", "the order of a decision, and the rule it names"),
            page!("messages", "what a model reads when a call is denied"),
        ],
    },
    Group {
        title: "Operation",
        pages: &[
            page!("reload", "how a changed policy takes effect"),
            page!("stop", "how sessions end: stops, crashes, stalled peers"),
            page!("state", "where counters live, and what they survive"),
            page!("redis", "counters shared by several machines"),
            page!("audit-log", "what is logged, and how tampering is found"),
        ],
    },
    Group {
        title: "Background",
        pages: &[
            page!("guarantees", "what callgate promises, and what it does not"),
            page!("speed", "what callgate costs, and how it is measured"),
            page!("terms", "the words of this manual"),
            page!("architecture", "how callgate is built and tested"),
            page!("contract", "every rule by number"),
            page!("changes", "what changed in each version"),
        ],
    },
];

/// All pages, in reading order.
pub fn pages() -> impl Iterator<Item = &'static Page> {
    GROUPS.iter().flat_map(|group| group.pages)
}

/// The page of a topic.
#[must_use]
pub fn page(topic: &str) -> Option<&'static Page> {
    pages().find(|page| page.topic == topic)
}
