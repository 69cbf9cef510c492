//! A relay in memory. It drives a session as the shell does, keeps its own account of open requests, and checks at
//! every line what must hold for any input.

use std::collections::BTreeMap;
use std::str;
use std::sync::Arc;

use callgate::engine::decide::{Denial, Permit, decide, never_passes};
use callgate::engine::interrupt::Interrupt;
use callgate::engine::json::reader::Scratch;
use callgate::engine::limits::{MemoryLedger, Now};
use callgate::engine::policy::{Mode, Policy};
use callgate::engine::session::{Answer, Diversion, RecordDetail, Session, SessionOptions, Step};
use callgate::engine::wire::frame::id_finder::{IdFinder, ids_on};
use callgate::engine::wire::frame::{Unrelayed, read_client, read_id, read_server};
use callgate::engine::wire::line::{LongLine, Side};
use callgate::engine::wire::mcp::{Params, ServerMembers, ToolCall};
use serde_json::Value;

use super::peer::{self, Members};

/// One session between two sides that send arbitrary lines.
pub(crate) struct Relay {
    policy: Arc<Policy>,
    shadow: bool,
    session: Session,
    ledger: MemoryLedger,
    now: Now,
    /// Requests at the server, by the key of their id.
    open: BTreeMap<Vec<u8>, Open>,
    /// The lines forwarded to the server and to the client, in order.
    pub(crate) to_server: Vec<Vec<u8>>,
    pub(crate) to_client: Vec<Vec<u8>>,
    /// The lines that callgate wrote to the client.
    pub(crate) answers: Vec<Vec<u8>>,
}

/// A request at the server.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// True if the client expects the answer.
    expected: bool,
    /// True for a `subscriptions/listen`.
    listens: bool,
    /// True for a `tools/list`.
    lists: bool,
}

impl Relay {
    pub(crate) fn new(policy: Policy, shadow: bool) -> Self {
        let policy = Arc::new(policy);
        let options =
            SessionOptions { shadow, records: RecordDetail::Values, ..SessionOptions::default() };
        Relay {
            session: Session::new(Arc::clone(&policy), options),
            policy,
            shadow,
            ledger: MemoryLedger::default(),
            now: Now { wall_ms: 1_767_225_600_000, monotonic_ms: 0 },
            open: BTreeMap::new(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now.wall_ms = self.now.wall_ms.saturating_add(ms);
        self.now.monotonic_ms = self.now.monotonic_ms.saturating_add(ms);
    }

    /// Sets the wall clock back.
    pub(crate) fn step_back(&mut self, ms: u64) {
        self.now.wall_ms = self.now.wall_ms.saturating_sub(ms);
    }

    /// Puts another policy in force, and handles the notifications to the client (contract W5).
    pub(crate) fn reload(&mut self, policy: Policy) {
        self.policy = Arc::new(policy);
        self.session.reload(Arc::clone(&self.policy), self.now);
        let notices = self.session.announcement().map(|_| self.session.announce());
        let mut told = Vec::new();
        for notice in lines(&notices.unwrap_or_default()) {
            let frame = read(notice);
            let method = frame.get("method").and_then(peer::unicode);
            assert_eq!(method.as_deref(), Some("notifications/tools/list_changed"));
            let meta = frame.get("params").and_then(peer::members);
            let meta = meta.and_then(|params| peer::members(params.get("_meta")?));
            let stream = meta.and_then(|meta| meta.get("io.modelcontextprotocol/subscriptionId"));
            let open = stream.map(|id| self.open.get(&key(id)).expect("an open stream"));
            assert!(open.is_none_or(|open| open.listens), "told on what is no stream");
            assert!(!told.contains(&stream), "told twice");
            told.push(stream);
        }
    }

    /// Handles one line, without its line end.
    pub(crate) fn send(&mut self, side: Side, line: &[u8]) {
        let step = self.session.handle_with(&mut self.ledger, side, line, self.now);
        self.carry_out(side, line, step);
    }

    /// Handles one line over the cap, of which only the beginning and the ids are known.
    pub(crate) fn send_long(&mut self, side: Side, head: &[u8]) {
        let mut finder = IdFinder::default();
        finder.feed(head);
        let line = LongLine { head: head.to_vec(), ids: finder.found() };
        let step = match side {
            Side::Client => Step::Answer(self.session.refuse_long(1024)),
            Side::Server => Step::Divert(self.session.divert_long(&line, 1024, self.now)),
        };
        // The request that an id settles depends on which other ids are in flight.
        let settled: Vec<_> = line.ids.iter().filter_map(|id| self.settled_by(id)).collect();
        self.carry_out(side, &[], step);
        let mut open = settled.iter().filter_map(|key| self.open.get(key));
        let waits = open.any(|open| open.expected && side == Side::Server);
        assert!(!waits, "who waits for a line over the cap is told");
    }

    /// Ends the session. contract W4: exactly the requests whose answers are expected get one.
    pub(crate) fn abandon(&mut self) {
        let (answers, _) = self.session.abandon("callgate stopped", self.now);
        for answer in lines(&answers) {
            let closed = self.close(answer);
            assert!(closed.expected, "nobody waits for {}", answer.escape_ascii());
            self.answers.push(answer.to_vec());
        }
        assert_eq!(self.expected(), 0, "left without an answer: {:?}", self.open);
    }

    /// How many answers the client expects, by the relay's own account.
    pub(crate) fn expected(&self) -> usize {
        self.open.values().filter(|open| open.expected).count()
    }

    fn carry_out(&mut self, side: Side, line: &[u8], step: Step) {
        match (side, step) {
            (Side::Client, Step::AnswerBatch { mut batch, .. }) => {
                let mut answers = Vec::new();
                while !batch.is_done() {
                    answers.extend(self.session.next_answers(line, &mut batch));
                }
                self.answer_client(line, &answers);
            }
            (Side::Client, step) if step.is_forward() => self.take_to_server(line),
            (Side::Server, step) if step.is_forward() => self.take_to_client(line, line),
            (Side::Server, Step::Rewrite { bytes, .. }) => self.take_to_client(line, &bytes),
            (Side::Client, Step::Answer(Answer { bytes, .. })) => self.answer_client(line, &bytes),
            (Side::Server, Step::Answer(Answer { bytes, .. })) => {
                answer_server(line, &bytes);
                let lost = self.answered_by(line).is_some_and(|key| self.open.contains_key(&key));
                assert!(!lost, "an answer was lost");
            }
            (Side::Server, Step::Divert(Diversion { answers, .. })) => {
                for answer in lines(&answers) {
                    self.close(answer);
                    self.answers.push(answer.to_vec());
                }
                // A client that has cancelled a request gets no error for its unreadable late answer. A line that is
                // not a message is not an answer.
                if answers_are_due(line) {
                    ids_on(line, &Interrupt::default(), |id| {
                        let open = self.open.get(&key(id));
                        assert!(open.is_none_or(|open| !open.expected), "nobody is told");
                    });
                }
            }
            (side, step) => panic!("{step:?} is nothing for a line of the {side}"),
        }
        assert_eq!(self.session.expected_answers(), self.expected(), "of {:?}", self.open);
    }

    fn take_to_server(&mut self, line: &[u8]) {
        let frame = read(line);
        assert!(!line.contains(&b'\r'), "a server may end a line at a CR");
        let method = frame.get("method").and_then(peer::unicode);
        match (method.as_deref(), frame.get("id")) {
            (Some(method), Some(id)) => {
                if method == "tools/call" {
                    self.check_permitted(line);
                }
                let listens = method == "subscriptions/listen";
                let open = Open { expected: !listens, listens, lists: method == "tools/list" };
                let before = self.open.insert(key(id), open);
                assert!(before.is_none(), "a second request {id} while the first is in flight");
            }
            (Some("notifications/cancelled"), None) => {
                let open = cancelled(&frame).and_then(|id| self.open.get_mut(&key(id)));
                open.expect("only what is in flight can be cancelled").expected = false;
            }
            (Some("tools/call"), None) => panic!("a call that is a notification"),
            (Some(_), None) => {}
            (None, _) => assert!(frame.get("result").is_some() ^ frame.get("error").is_some()),
        }
        self.to_server.push(line.to_vec());
    }

    /// A forwarded call is one that the policy permits without approval.
    fn check_permitted(&self, line: &[u8]) {
        let permit = self.decide(line).expect("a refused call went out");
        let permit = permit.expect("a denied call went out");
        assert!(permit.approval.is_none(), "a call that needs a human went out");
    }

    /// A call that is not forwarded is one that the policy denies, or may deny by a limit or for want of approval.
    fn check_denied(&self, line: &[u8], id: &str) {
        if let Some(Ok(permit)) = self.decide(line) {
            let conditional = permit.approval.is_some() || !permit.demands.is_empty();
            assert!(conditional || self.open.contains_key(&key(id)), "a permitted call was denied");
        }
    }

    /// The policy's decision on a call, if `line` is an unambiguous one.
    fn decide(&self, line: &[u8]) -> Option<Result<Permit, Denial>> {
        let mut params = Params::default();
        let mut scratch = Scratch::default();
        let frame = read_client(line, &mut scratch, |reader, key| params.read(reader, key)).ok()?;
        let call = if params.look_alike().is_some() {
            None
        } else {
            ToolCall::read(frame.params, params).ok()
        };
        Some(decide(&self.policy, &call?, self.shadow))
    }

    /// Handles `sent`, which goes to the client for the server's `line`.
    fn take_to_client(&mut self, line: &[u8], sent: &[u8]) {
        let frame = read(sent);
        assert!(!sent.contains(&b'\n'), "one line became two");
        assert_eq!(frame.get("jsonrpc").and_then(peer::unicode).as_deref(), Some("2.0"));
        let id = frame.get("id").filter(|id| read_id(id).is_some());
        let answers = frame.get("result").is_some() || frame.get("error").is_some();
        match (frame.get("method"), id) {
            (None, Some(_)) => {
                if self.close(sent).lists {
                    self.check_list(&frame);
                }
            }
            (None, None) => {
                let result = frame.get("result").filter(|result| *result != "null");
                assert!(result.is_none() && frame.get("error").is_some(), "an answer to nobody");
            }
            (Some(method), None) => {
                assert!(!answers, "a request and an answer at once");
                if peer::unicode(method).as_deref() == Some("notifications/cancelled") {
                    self.end_listen(&frame);
                }
            }
            (Some(_), Some(_)) => assert!(!answers, "a request and an answer at once"),
        }
        if line != sent {
            check_rewrite(line, sent);
        }
        self.to_client.push(sent.to_vec());
    }

    /// contract W1: an enforced list has no hidden tools and only elements that are tools.
    fn check_list(&self, frame: &Members<'_>) {
        let result = frame.get("result").and_then(peer::members);
        let tools = result.as_ref().and_then(|result| result.get("tools"));
        let Some(tools) = tools.and_then(peer::elements) else { return };
        if self.policy.document_mode(Mode::forced_by(self.shadow)) == Mode::Shadow {
            return;
        }
        for tool in tools.0 {
            let name =
                peer::members(tool).and_then(|tool| tool.get("name").and_then(peer::unicode));
            let name = name.unwrap_or_else(|| panic!("{tool} is no tool"));
            assert!(!self.policy.hide.matches(&name), "{name} is hidden");
            assert!(!self.policy.hide_denied || !never_passes(&self.policy, &name), "{name}");
        }
    }

    /// Handles the server's notice that the stream of an open `subscriptions/listen` has ended.
    fn end_listen(&mut self, frame: &Members<'_>) {
        let open = cancelled(frame).and_then(|id| self.open.get_mut(&key(id)));
        if let Some(open) = open.filter(|open| open.listens) {
            open.expected = false;
        }
    }

    /// The key of the request that a server's line answers.
    fn answered_by(&self, line: &[u8]) -> Option<Vec<u8>> {
        let frame = peer::members(str::from_utf8(line).ok()?)?;
        let answers = frame.get("result").is_some() || frame.get("error").is_some();
        let id = frame.get("id").filter(|_| answers && frame.get("method").is_none());
        self.settled_by(id?)
    }

    /// The key of the request that an answer with this id settles. contract W4: the string of a number in flight
    /// counts.
    fn settled_by(&self, id: &str) -> Option<Vec<u8>> {
        let exact = key(id);
        if self.open.contains_key(&exact) {
            return Some(exact);
        }
        let number =
            peer::unicode(id).filter(|text| !text.starts_with(['"', ' ', '\t', '\n', '\r']))?;
        let number =
            key(number.trim_end_matches([' ', '\t', '\n', '\r']).eq(&number).then_some(&number)?);
        self.open.contains_key(&number).then_some(number)
    }

    /// Removes the request that `answer` settles, which must be in flight.
    fn close(&mut self, answer: &[u8]) -> Open {
        let frame = read(answer);
        let id = frame.get("id").expect("an answer with an id");
        let open = self.settled_by(id).and_then(|key| self.open.remove(&key));
        open.unwrap_or_else(|| panic!("no answer or a second one: {}", answer.escape_ascii()))
    }

    /// Handles callgate's own answer to a line: its id is on the line and not in flight, or null.
    fn answer_client(&mut self, line: &[u8], bytes: &[u8]) {
        let text = str::from_utf8(line).unwrap_or_default();
        let batch = peer::elements(text).map(|elements| elements.0);
        let frames = batch.clone().unwrap_or(vec![text]);
        let frames: Vec<Members<'_>> = frames.into_iter().filter_map(peer::members).collect();
        let answers = lines(bytes);
        for answer in &answers {
            let answered = read(answer);
            let id = answered.get("id").expect("an answer with an id");
            assert!(id == "null" || frames.iter().any(|frame| frame.get("id") == Some(id)));
            assert!(id == "null" || !self.open.contains_key(&key(id)), "{id} is in flight");
        }
        let frame = frames.first().filter(|_| batch.is_none());
        let method = frame.and_then(|frame| frame.get("method").and_then(peer::unicode));
        match (method.as_deref(), frame.and_then(|frame| frame.get("id"))) {
            (Some(method), Some(id)) => {
                assert_eq!(answers.len(), 1, "a request has one answer");
                if method == "tools/call" {
                    self.check_denied(line, id);
                }
            }
            // A cancellation that is dropped without an answer must not match any request.
            (Some("notifications/cancelled"), None) if answers.is_empty() => {
                let open =
                    frame.and_then(cancelled).is_some_and(|id| self.open.contains_key(&key(id)));
                assert!(!open, "a cancellation of what is in flight was dropped");
            }
            _ => assert!(batch.is_some() || answers.len() <= 1, "{} answers", answers.len()),
        }
        self.answers.extend(answers.into_iter().map(<[u8]>::to_vec));
    }
}

/// contract W1, P15: a line is rewritten only to cut tools from a list, to announce list changes, or because a result
/// asks for a denied method; everything else in it stays.
fn check_rewrite(line: &[u8], sent: &[u8]) {
    let read = |line| serde_json::from_slice::<Value>(line).ok();
    let (Some(mut before), Some(mut after)) = (read(line), read(sent)) else { return };
    if after.get("error").is_some() {
        assert_eq!(after["error"]["code"], 403);
        return;
    }
    let tools = |frame: &mut Value| frame.pointer_mut("/result/tools").map(Value::take);
    if let (Some(Value::Array(before)), Some(Value::Array(after))) =
        (tools(&mut before), tools(&mut after))
    {
        let mut listed = before.iter();
        assert!(after.iter().all(|tool| listed.any(|other| other == tool)), "a list of others");
    }
    for frame in [&mut before, &mut after] {
        let result = frame["result"].as_object_mut().expect("a result");
        result.remove("ttlMs");
        result.remove("cacheScope");
        let tools = result.get_mut("capabilities").and_then(|all| all.get_mut("tools"));
        if let Some(tools) = tools.and_then(Value::as_object_mut) {
            tools.remove("listChanged");
        }
    }
    assert_eq!(before, after, "more was changed than may be");
}

/// Checks that callgate's message to the server answers the request that the server sent.
fn answer_server(line: &[u8], bytes: &[u8]) {
    let asked = str::from_utf8(line).ok().and_then(peer::members);
    for answer in lines(bytes) {
        let asked = asked.as_ref().and_then(|asked| asked.get("id"));
        assert_eq!(read(answer).get("id"), asked);
    }
}

/// Whole lines, without their line ends.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let ends = bytes.is_empty() || bytes.ends_with(b"\n");
    assert!(ends, "a line without its end: {}", bytes.escape_ascii());
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect()
}

fn read(line: &[u8]) -> Members<'_> {
    let frame = str::from_utf8(line).ok().and_then(peer::members);
    frame.unwrap_or_else(|| panic!("no object: {}", line.escape_ascii()))
}

/// True unless the line is a strict JSON object that is not a message.
fn answers_are_due(line: &[u8]) -> bool {
    let mut members = ServerMembers::default();
    let mut scratch = Scratch::default();
    let read = read_server(line, &mut scratch, |part, reader, key| members.read(part, reader, key));
    !matches!(read, Err(Unrelayed::NoMessage(_)))
}

/// The id in a `notifications/cancelled`.
fn cancelled<'a>(frame: &Members<'a>) -> Option<&'a str> {
    frame.get("params").and_then(peer::members)?.get("requestId")
}

/// Equal for equal ids.
fn key(id: &str) -> Vec<u8> {
    read_id(id).map(|id| id.key().into_owned()).unwrap_or_default()
}
