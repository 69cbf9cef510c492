//! A server whose list of tools never ends is not asked for ever.

use callgate::engine::inquiry::{Inquiry, Turn, names};
use serde_json::{Value, json};

/// Sends the answers to the pages of a list; returns how many were asked for, and why it is over.
fn pages(mut answer: impl FnMut(u64) -> String) -> (u64, Result<Vec<String>, String>) {
    let (mut inquiry, hello) = Inquiry::begin();
    let mut asked = hello;
    for page in 0.. {
        let lines = String::from_utf8(asked).unwrap();
        let request: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        let result =
            if page == 0 { json!({ "capabilities": {} }).to_string() } else { answer(page) };
        let line = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request["id"]);
        match inquiry.handle(line.as_bytes()) {
            Turn::Ask(next) => asked = next,
            Turn::Done(tools) => return (page, Ok(names(&tools))),
            Turn::Fail(why) => return (page, Err(why)),
            turn @ (Turn::Wait | Turn::Reply(_)) => panic!("{turn:?} after {line}"),
        }
    }
    unreachable!("pages go on for ever");
}

#[test]
fn ten_thousand_pages_are_enough() {
    let page = |number: u64| json!({ "tools": [], "nextCursor": number.to_string() }).to_string();
    let (asked, end) = pages(page);
    assert_eq!(end, Err("server's list of tools has no end: it has over 10000 pages".to_owned()));
    assert_eq!(asked, 10_000);
    let last = |number| if number < 10_000 { page(number) } else { r#"{"tools":[]}"#.to_owned() };
    assert_eq!(pages(last), (10_000, Ok(Vec::new())));
}

#[test]
fn sixty_four_mebibytes_are_enough() {
    let blank = " ".repeat(20 * 1024 * 1024);
    let (asked, end) = pages(|number| format!(r#"{{"tools":[],{blank}"nextCursor":"{number}"}}"#));
    assert_eq!(
        end,
        Err("server's list of tools has no end: it has over 67108864 bytes".to_owned())
    );
    assert_eq!(asked, 4);
}

#[test]
fn an_answer_that_was_too_long_to_be_read_is_an_end() {
    let (inquiry, _) = Inquiry::begin();
    assert!(matches!(inquiry.handle_too_long(&["2".to_owned()]), Turn::Wait));
    assert!(matches!(inquiry.handle_too_long(&[]), Turn::Wait));
    let Turn::Fail(why) = inquiry.handle_too_long(&["2".to_owned(), "1".to_owned()]) else {
        panic!("it goes on")
    };
    assert_eq!(why, "server sent an unreadable answer to `initialize`");
}
