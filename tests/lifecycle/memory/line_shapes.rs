//! Long lines that are expensive to read or answer, by content.

/// A text that is repeated to fill a line, between a beginning and an end.
pub(crate) struct Shape {
    pub(crate) why: &'static str,
    begin: &'static str,
    /// `#` stands for a growing number, in as few characters as possible.
    again: &'static str,
    end: &'static str,
}

const fn shape(
    why: &'static str,
    begin: &'static str,
    again: &'static str,
    end: &'static str,
) -> Shape {
    Shape { why, begin, again, end }
}

impl Shape {
    /// A line of about this many bytes.
    pub(crate) fn line(&self, length: usize) -> String {
        let mut line = String::with_capacity(length + 64);
        line.push_str(self.begin);
        let mut number = 0_usize;
        assert!(!self.again.is_empty(), "{}: nothing fills the line", self.why);
        while line.len() < length {
            let mut pieces = self.again.split('#');
            line.extend(pieces.next());
            for piece in pieces {
                push_short(&mut line, number);
                line.push_str(piece);
            }
            number += 1;
        }
        if line.ends_with(',') {
            line.pop();
        }
        line + self.end
    }
}

/// A number in base 64.
fn push_short(line: &mut String, mut number: usize) {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    loop {
        line.push(char::from(DIGITS[number % 64]));
        number /= 64;
        if number == 0 {
            return;
        }
    }
}

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"#;
const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"arguments":{"#;

const LIST: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"amount":["#;

const MODERN_LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"arguments":{"amount":["#;

/// Lines that a client may send.
pub(crate) const CLIENT: &[Shape] = &[
    shape("brackets", "", "[", ""),
    shape("brackets that are closed in vain", "[", "[", "]"),
    shape("a batch of small requests", "[", r#"{"id":0,"method":0},"#, "]"),
    shape("a batch of requests with ids of their own", "[", r##"{"id":"#","method":0},"##, "]"),
    shape("a batch of nothing", "[", "0,", "]"),
    shape("a batch of batches", "[", "[],", "]"),
    shape("keys in the envelope", r#"{"jsonrpc":"2.0","id":1,"method":"x","#, r##""#":0,"##, "}"),
    shape("one key again and again", "{", r#""":0,"#, "}"),
    shape("arguments", CALL, r##""#":0,"##, "}}}"),
    shape("one argument again and again", CALL, r#""":0,"#, "}}}"),
    shape("arguments with escapes", CALL, r#""\n#":0,"#, "}}}"),
    shape("small objects", CALL, r##""#":{"a":1,"b":2},"##, "}}}"),
    shape("objects of changing keys", CALL, r##""#":{"#a":0,"#b":0,"#c":0},"##, "}}}"),
    shape(
        "lists of objects of changing keys",
        LIST,
        r##"{"#":0,"a#":0},{"b#":0,"c#":0,"":0},"##,
        "]}}}",
    ),
    shape("an object, a list, an object", LIST, "{},[],", "]}}}"),
    shape("words", LIST, "true,null,", "]}}}"),
    shape("numbers", LIST, "-0.1e1,", "]}}}"),
    shape("strings", LIST, r#""","#, "]}}}"),
    shape("saturating exponents", LIST, "1e999999999,", "]}}}"),
    shape("white space", LIST, " \t", "0]}}}"),
    shape("a modern call", MODERN, r##""#":0,"##, "}}}"),
    shape("a modern call with a list", MODERN_LIST, "0,", "]}}}"),
    shape("zeros", r#"{"jsonrpc":"2.0","id":1,"method":"x","params":["#, "0,", "]}"),
    shape("a deep object", "", r#"{"":"#, ""),
    shape("a long method", r#"{"jsonrpc":"2.0","id":1,"method":""#, r"\u0061", r#""}"#),
    shape(
        "a long name",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""#,
        r"\n",
        r#""}}"#,
    ),
    shape("a long id", r#"{"jsonrpc":"2.0","id":""#, r"\n", r#"","method":"x"}"#),
    shape("a long number for an id", r#"{"jsonrpc":"2.0","method":"x","id":1."#, "10", "}"),
    shape("a response with a long id", r#"{"jsonrpc":"2.0","result":{},"id":""#, r"\n", r#""}"#),
    shape("a long key", r#"{"jsonrpc":"2.0","id":1,"method":"x",""#, r"\n", r#"":0}"#),
];

const LISTED: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#;

/// Lines that a server may send, as answers to `tools/list` or otherwise.
pub(crate) const SERVER: &[Shape] = &[
    shape("zeros for tools", LISTED, "0,", "]}}"),
    shape("objects for tools", LISTED, "{},", "]}}"),
    shape("small tools of changing keys", LISTED, r##"{"name":"#","#":0,"a#":0},"##, "]}}"),
    shape(
        "an error that asks for input",
        r#"{"jsonrpc":"2.0","id":1,"error":{"data":["#,
        r#"{"inputRequests":[]},"#,
        "]}}",
    ),
    shape("codes of an error", r#"{"jsonrpc":"2.0","id":1,"error":{"#, r#""code":"\u002d","#, "}}"),
    shape(
        "keys like inputRequests",
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":["#,
        r#"{"inputRequesta#":0},"#,
        "]}",
    ),
    shape("hidden tools", LISTED, r#"{"name":"h"},"#, "]}}"),
    shape("tools", LISTED, r##"{"name":"#"},"##, "]}}"),
    shape("one in two is hidden", LISTED, r#"{"name":"h"},{"name":"t"},"#, "]}}"),
    shape(
        "a tool of keys",
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"t","#,
        r##""#":0,"##,
        "}]}}",
    ),
    shape("keys in the result", r#"{"jsonrpc":"2.0","id":1,"result":{"#, r##""#":0,"##, "}}"),
    shape("one key again and again", r#"{"jsonrpc":"2.0","id":1,"result":{"#, r#""":0,"#, "}}"),
    shape(
        "input requests",
        r#"{"jsonrpc":"2.0","id":1,"result":{"inputRequests":["#,
        r#"{"method":"m"},"#,
        "]}}",
    ),
    shape(
        "many inputRequests",
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"#,
        r#""inputRequests":[],"#,
        "}}",
    ),
    shape(
        "many tasks",
        r#"{"jsonrpc":"2.0","method":"notifications/x","params":{"#,
        r#""task":{},"#,
        "}}",
    ),
    shape(
        "a long method in an input request",
        r#"{"jsonrpc":"2.0","id":1,"result":{"inputRequests":[{"method":""#,
        r"\n",
        r#""}]}}"#,
    ),
    shape("brackets", "", "[", ""),
    shape("brackets in an object", r#"{"jsonrpc":"2.0","id":1,"result":"#, "[", ""),
    shape("messages", "", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, ""),
    shape("messages with ids of their own", "", r##"{"jsonrpc":"2.0","id":"#","result":{}}"##, ""),
    shape("small objects with ids", "", r#"{"id":1}"#, ""),
    shape("ids in one message", r#"{"jsonrpc":"2.0","result":{},"#, r#""id":1,"#, "}"),
    shape("no UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"", "\u{1b}", ""),
    shape("a long id", r#"{"jsonrpc":"2.0","result":{},"id":""#, r"\n", r#""}"#),
    shape("a long number for an id", r#"{"jsonrpc":"2.0","result":{},"id":1."#, "10", "}"),
    shape("a long number in a string", r#"{"jsonrpc":"2.0","result":{},"id":"1."#, "10", r#""}"#),
    shape(
        "a long state",
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":""#,
        r"\n",
        r#""}}"#,
    ),
    shape("a long method", r#"{"jsonrpc":"2.0","method":""#, r"\u0061", r#""}"#),
];
