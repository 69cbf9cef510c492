//! Arbitrary bytes from a client or a server, cut into lines and read as frames. The engine's result is compared with
//! that of contract W3 and W6, applied to the same line as `serde_json` reads it.

use std::str;

use callgate::engine::json::reader::{KeyRule, MAX_DEPTH, Reader, Scratch};
use callgate::engine::text::name::same_but_for_case;
use callgate::engine::wire::frame::id_finder::IdFinder;
use callgate::engine::wire::frame::{
    FrameKind, INVALID_REQUEST, MAX_ID_BYTES, MAX_NAME_BYTES, PARSE_ERROR, Refusal, RefusalAnswer,
    Unrelayed, read_client, read_server,
};
use callgate::engine::wire::line::{HEAD_BYTES, Line, LineBuffer};
use callgate::engine::wire::mcp::{Params, ServerMembers, ToolCall};
use callgate::engine::wire::message;

use super::peer::{self, Members};

/// The first byte chooses how the rest is cut; the rest is the stream.
pub(crate) fn check(input: &[u8]) {
    const CAPS: [usize; 4] = [usize::MAX, 7, 64, 1000];
    const PIECES: [usize; 4] = [1 << 16, 1, 5, 100];
    let Some((&choice, stream)) = input.split_first() else { return };
    let cap = CAPS[usize::from(choice % 4)];
    let piece = PIECES[usize::from(choice / 4 % 4)];
    assert_eq!(lines_by_buffer(stream, cap, piece), lines_by_hand(stream, cap));
    for line in stream.split(|&byte| byte == b'\n') {
        ids_are_found_in_any_pieces(line, piece);
        check_json(line);
        check_client_line(line);
        check_server_line(line);
    }
}

/// A line as a [`LineBuffer`] hands it out.
#[derive(Debug, PartialEq, Eq)]
enum Cut {
    /// The content and the line end.
    Whole(Vec<u8>, Vec<u8>),
    /// The remains of a line over the cap.
    TooLong(Vec<u8>, Vec<String>),
}

fn lines_by_buffer(stream: &[u8], cap: usize, piece: usize) -> Vec<Cut> {
    let mut buffer = LineBuffer::new(cap);
    let mut lines = Vec::new();
    let cut = |line: Line, buffer: &LineBuffer| match line {
        Line::Whole { start, content_end, end } => Cut::Whole(
            buffer.slice(start, content_end).to_vec(),
            buffer.slice(content_end, end).to_vec(),
        ),
        Line::TooLong(line) => Cut::TooLong(line.head, line.ids),
    };
    for piece in stream.chunks(piece) {
        buffer.spare().extend_from_slice(piece);
        while let Some(line) = buffer.next_line() {
            lines.push(cut(line, &buffer));
        }
    }
    lines.extend(buffer.last_line().map(|line| cut(line, &buffer)));
    assert!(buffer.last_line().is_none(), "something is left behind the last line");
    lines
}

fn lines_by_hand(stream: &[u8], cap: usize) -> Vec<Cut> {
    let cut = |line: &[u8]| {
        let end = if line.ends_with(b"\r\n") { 2 } else { usize::from(line.ends_with(b"\n")) };
        let (content, line_end) = line.split_at(line.len() - end);
        if content.len() <= cap {
            return Cut::Whole(content.to_vec(), line_end.to_vec());
        }
        let mut finder = IdFinder::default();
        finder.feed(line);
        Cut::TooLong(line[..line.len().min(HEAD_BYTES)].to_vec(), finder.found())
    };
    stream.split_inclusive(|&byte| byte == b'\n').map(cut).collect()
}

fn ids_are_found_in_any_pieces(line: &[u8], piece: usize) {
    let mut pieces = IdFinder::default();
    line.chunks(piece).for_each(|piece| pieces.feed(piece));
    let mut whole = IdFinder::default();
    whole.feed(line);
    assert_eq!(pieces.found(), whole.found());
}

/// Both parsers agree on whether a line is JSON.
fn check_json(line: &[u8]) {
    let Ok(text) = str::from_utf8(line) else { return };
    let mut scratch = Scratch::default();
    let ours = Reader::new(text, usize::MAX, &mut scratch).document(KeyRule::Unique);
    assert_eq!(ours.is_ok(), peer::is_json(line), "{ours:?}");
    if ours.is_ok() && peer::depth(text) <= MAX_DEPTH {
        assert_eq!(!scratch.duplicates().is_empty(), peer::has_duplicates(text));
    }
}

/// contract W3
fn check_client_line(line: &[u8]) {
    let mut params = Params::default();
    let mut scratch = Scratch::default();
    let read = read_client(line, &mut scratch, |reader, key| params.read(reader, key));
    let expected = client_refusal(line);
    let frame = match (read, expected) {
        (Ok(frame), None) => frame,
        (Err(refusal), Some(code)) => {
            // A line that is too deep is not read to its end.
            let too_deep = str::from_utf8(line).is_ok_and(|text| peer::depth(text) > MAX_DEPTH);
            assert!(refusal.code == code || too_deep, "{refusal:?}, not {code}");
            return check_refusal(line, &refusal);
        }
        (read, expected) => panic!("{read:?}, but should be refused with {expected:?}"),
    };
    let text = str::from_utf8(line).expect("what is accepted is UTF-8");
    let members = peer::members(text).expect("what is accepted is an object");
    assert_eq!(frame.params.map(callgate::engine::json::value::Value::text), members.get("params"));
    let (id, method) = match &frame.kind {
        FrameKind::Request { id, method } => (Some(id.raw()), Some(method.as_ref())),
        FrameKind::Notification { method } => (None, Some(method.as_ref())),
        FrameKind::Response { id } => (id.map(callgate::engine::wire::frame::RequestId::raw), None),
    };
    assert_eq!(id, members.get("id").filter(|id| *id != "null"));
    assert_eq!(method.map(str::to_owned), members.get("method").and_then(peer::unicode));
    if let FrameKind::Response { id: Some(id) } = frame.kind
        && !text.contains('\\')
        && id.raw().len() <= MAX_ID_BYTES
    {
        let mut finder = IdFinder::default();
        finder.feed(line);
        assert_eq!(finder.found(), [id.raw()]);
    }
    if method == Some("tools/call") {
        let looks_alike = params.look_alike().is_some();
        check_call(&members, ToolCall::read(frame.params, params), looks_alike);
    }
}

/// The error code with which contract W3 refuses a line; `None` if the line is accepted.
fn client_refusal(line: &[u8]) -> Option<i32> {
    let Ok(text) = str::from_utf8(line) else { return Some(PARSE_ERROR) };
    if text.contains('\r') {
        return Some(INVALID_REQUEST);
    }
    if !peer::is_json(line) {
        return Some(PARSE_ERROR);
    }
    let Some(members) = peer::members(text) else { return Some(INVALID_REQUEST) };
    let is_id = |text: &str| text.starts_with(['"', '-']) || text.starts_with(char::is_numeric);
    let no_id = |text: &&str| *text != "null";
    let id = members.get("id").filter(|id| members.get("method").is_some() || no_id(id));
    let (result, error) = (members.get("result").is_some(), members.get("error").is_some());
    let kind = match members.get("method") {
        Some(method) => {
            let id_fits = id.is_none_or(|id| is_id(id) && id.len() <= MAX_ID_BYTES);
            let method = peer::unicode(method);
            let fits = method.is_some_and(|method| method.len() <= MAX_NAME_BYTES);
            fits && !result && !error && id_fits
        }
        None => id.is_none_or(is_id) && (result ^ error) && (error || id.is_some()),
    };
    let reserved = ["jsonrpc", "id", "method", "params", "result", "error"];
    let refused = peer::depth(text) > MAX_DEPTH
        || peer::has_duplicates(text)
        || has_look_alike(&members, &reserved)
        || !kind;
    refused.then_some(INVALID_REQUEST)
}

/// True if a key equals one of `reserved` only after case folding.
fn has_look_alike(members: &Members<'_>, reserved: &[&str]) -> bool {
    members.0.iter().any(|(key, _)| {
        let key = String::from_utf8_lossy(&key.0);
        !reserved.contains(&key.as_ref())
            && reserved.iter().any(|reserved| same_but_for_case(&key, reserved))
    })
}

/// A refusal is answered with whole lines of JSON, with ids from the refused line.
fn check_refusal(line: &[u8], refusal: &Refusal) {
    if refusal.answer == RefusalAnswer::Batch {
        let text = str::from_utf8(line).expect("a batch is UTF-8");
        assert!(peer::elements(text).is_some(), "what is no batch is refused as one");
        return;
    }
    let answers = message::refusal(refusal);
    assert!(answers.ends_with(b"\n"), "an answer without its line end");
    for answer in answers.split_inclusive(|&byte| byte == b'\n') {
        let answer = str::from_utf8(answer).expect("an answer in UTF-8");
        let answer = peer::members(answer).expect("an answer that is an object");
        let id = answer.get("id").expect("an answer with an id");
        assert!(answer.get("error").is_some(), "a refusal is an error");
        assert!(id == "null" || bears(line, id), "answered under {id}");
    }
}

/// True if a line, or an element of its batch, has this id and no other key that resembles `id`.
fn bears(line: &[u8], id: &str) -> bool {
    let text = str::from_utf8(line).expect("a line with an id is UTF-8");
    let elements = peer::elements(text).map_or(vec![text], |elements| elements.0);
    elements
        .iter()
        .filter_map(|element| peer::members(element))
        .any(|members| members.get("id") == Some(id) && !has_look_alike(&members, &["id"]))
}

/// contract W3, -32602: a call is decided by the name and arguments that other parsers read.
fn check_call(frame: &Members<'_>, call: Result<ToolCall<'_>, &str>, looks_alike: bool) {
    let params = frame.get("params").and_then(peer::members);
    let name = params.as_ref().and_then(|params| params.get("name")).and_then(peer::unicode);
    let arguments = params.as_ref().and_then(|params| params.get("arguments"));
    let is_short = |name: &String| name.len() <= MAX_NAME_BYTES;
    let name = name.filter(is_short);
    let fits = name.is_some() && arguments.is_none_or(|text| text.starts_with('{'));
    assert_eq!(call.is_ok(), fits, "{call:?}");
    let (Ok(call), Some(params)) = (call, params) else { return };
    assert_eq!(Some(call.name.as_ref()), name.as_deref());
    assert_eq!(call.arguments.text(), arguments.unwrap_or("{}"));
    let reserved = ["name", "arguments", "_meta", "task", "inputResponses", "requestState"];
    assert_eq!(looks_alike, has_look_alike(&params, &reserved));
    assert_eq!(call.task, params.get("task").is_some());
    let meta = params.get("_meta").and_then(peer::members);
    let version = meta.as_ref().and_then(|m| m.get("io.modelcontextprotocol/protocolVersion"));
    assert_eq!(call.modern, version.is_some());
}

/// contract W6
fn check_server_line(line: &[u8]) {
    let mut members = ServerMembers::default();
    let mut scratch = Scratch::default();
    let read = read_server(line, &mut scratch, |part, reader, key| members.read(part, reader, key));
    let expected = server_line(line);
    let (frame, members) = match (read, expected) {
        (Ok(frame), Expected::Message(members)) => (frame, members),
        (Err(Unrelayed::NoMessage(_)), Expected::NoMessage)
        | (Err(Unrelayed::Unreadable(_)), Expected::Unreadable) => return,
        (read, expected) => panic!("{read:?}, but should be {expected:?}"),
    };
    let (id, answers) = match frame.kind {
        FrameKind::Request { id, .. } => (Some(id), false),
        FrameKind::Notification { .. } => (None, false),
        FrameKind::Response { id } => (id, true),
    };
    let is_id = |text: &&str| !text.starts_with(['{', '[', 't', 'f', 'n']);
    assert_eq!(
        id.map(callgate::engine::wire::frame::RequestId::raw),
        members.get("id").filter(is_id)
    );
    assert_eq!(answers, members.get("method").is_none());
    let error = members.get("error").filter(|error| *error != "null");
    let result = members.get("result").filter(|_| error.is_none());
    assert_eq!(frame.result.map(callgate::engine::json::value::Value::text), result);
}

/// The result of contract W6 for a server's line.
#[derive(Debug)]
enum Expected<'a> {
    Message(Members<'a>),
    NoMessage,
    Unreadable,
}

fn server_line(line: &[u8]) -> Expected<'_> {
    let text = str::from_utf8(line).ok().filter(|text| !text.contains('\r'));
    let text = text.filter(|text| peer::depth(text) <= MAX_DEPTH);
    let Some(members) = text.and_then(peer::members) else { return Expected::Unreadable };
    // If the version is repeated, either one counts.
    let is_version = |(key, value): &(peer::Bytes, &str)| {
        key.0 == b"jsonrpc" && peer::unicode(value).as_deref() == Some("2.0")
    };
    if !members.0.iter().any(is_version) {
        return Expected::NoMessage;
    }
    let result = members.get("result").and_then(peer::members);
    let tools = result.as_ref().and_then(|result| result.get("tools")).and_then(peer::elements);
    let tools = tools.map_or(Vec::new(), |tools| tools.0);
    let mut objects = tools.into_iter().filter_map(peer::members);
    let twice = members.has_duplicates()
        || result.as_ref().is_some_and(Members::has_duplicates)
        || objects.any(|tool| tool.has_duplicates());
    let reserved = ["jsonrpc", "id", "method", "params", "result", "error"];
    if twice || has_look_alike(&members, &reserved) {
        return Expected::Unreadable;
    }
    let (result, error) = (members.get("result"), members.get("error"));
    if let Some(method) = members.get("method") {
        return match peer::unicode(method) {
            _ if result.is_some() || error.is_some() => Expected::Unreadable,
            Some(method) if method.len() > MAX_NAME_BYTES => Expected::Unreadable,
            Some(_) => Expected::Message(members),
            // A method that is far too long is not examined further.
            None if method.len() > 6 * MAX_NAME_BYTES => Expected::Unreadable,
            None => Expected::NoMessage,
        };
    }
    let is_one = match (result, error) {
        (Some(result), Some(error)) => (result == "null") != (error == "null"),
        (result, error) => result.is_some() != error.is_some(),
    };
    let odd_id = members.get("id").is_some_and(|id| id.starts_with(['{', '[', 't', 'f']));
    match (is_one, odd_id) {
        (false, _) => Expected::NoMessage,
        (true, true) => Expected::Unreadable,
        (true, false) => Expected::Message(members),
    }
}
