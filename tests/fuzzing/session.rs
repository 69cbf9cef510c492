//! A session in a fuzzer's format: a policy, and then the lines of both sides.
//!
//! ```text
//! {"version":"1","default":"allow"}        the policy, or any text to choose one; a blank at its end: --shadow
//! c{"id":1,"method":"tools/list"}          a line from the client
//! s{"id":1,"result":{"tools":[]}}          a line from the server
//! C{"id":1,"method":"x"                    the same, over the cap; S for the server
//! p{"version":"1","default":"deny"}        another policy takes effect, if it is valid
//! +1500                                    time passes, in milliseconds
//! -3000                                    the wall clock is set back
//! ```

use callgate::engine::compile::compile;
use callgate::engine::policy::Policy;
use callgate::engine::wire::line::Side;

use super::relay::Relay;

/// Policies for sessions without their own.
const POLICIES: [&str; 6] = [
    r#"{"version":"1","default":"allow"}"#,
    r#"{"version":"1","default":"deny","hide_denied":true,
        "tools":{"a":{},"b*":{"rate_limit":{"max":2,"window":60}},
            "c":{"action":"deny"},"d":{"action":"require_approval"}}}"#,
    r#"{"version":"1","default":"allow","hide":["secret*","Root"],
        "methods":{"sampling/*":"deny","notifications/message":"deny","resources/read":"deny",
            "ping":"deny"}}"#,
    r#"{"version":"1","default":"deny",
        "all_tools":{"limits":[{"counter":"usd","window":"day","max":1,
            "increment":0.4,"increment_from":"args.n"}]},
        "tools":{"*":{"deny_if":[{"conditions":[{"path":"args.list[*]","op":"gt","value":9}]}]}}}"#,
    r#"{"version":"1","default":"allow","mode":"shadow","hide":["a"],
        "tools":{"a":{"mode":"enforce","limits":[{"counter":"n","window":"session","max":3},
            {"counter":"n","window":"minute","max":1,"align":"calendar"}]}}}"#,
    r#"{"version":"1","default":"allow","methods":{"*":"deny","tools/list":"allow"},
        "tools":{"t":{"require":[{"conditions":[{"path":"args.x","op":"regex","value":"^a+$"}]}],
            "approval_if":[{"conditions":[{"path":"args.y","op":"exists","value":true}]}]}}}"#,
];

/// See the [format](self).
pub(crate) fn check(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let head = lines.next().unwrap_or_default();
    let mut relay = Relay::new(policy(head), head.ends_with(b" "));
    for line in lines {
        match line.split_first() {
            Some((b'c', line)) => relay.send(Side::Client, line),
            Some((b's', line)) => relay.send(Side::Server, line),
            Some((b'C', line)) => relay.send_long(Side::Client, line),
            Some((b'S', line)) => relay.send_long(Side::Server, line),
            Some((b'p', text)) => compile(text).into_iter().for_each(|policy| relay.reload(policy)),
            Some((b'+', number)) => relay.pass(ms(number)),
            Some((b'-', number)) => relay.step_back(ms(number)),
            _ => {}
        }
    }
    relay.abandon();
}

fn policy(head: &[u8]) -> Policy {
    let choice = head.first().map_or(0, |&byte| usize::from(byte) % POLICIES.len());
    compile(head).or_else(|_| compile(POLICIES[choice].as_bytes())).expect("a policy of ours")
}

fn ms(number: &[u8]) -> u64 {
    str::from_utf8(number).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1)
}
