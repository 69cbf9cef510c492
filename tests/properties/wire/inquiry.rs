//! A server with an endless list of tools is not queried forever, and the tools listed so far are kept.

use callgate::engine::wire::discovery::tool_list::MAX_TOOLS;
use callgate::engine::wire::discovery::{Inquiry, InquiryTurn};
use serde_json::{Value, json};

/// The result of a query: the names of the tools, and why there may be more.
type Names = (Vec<String>, Option<String>);

/// Sends the answers to page requests. Returns how many pages were requested, and why the query ended.
fn pages(mut answer: impl FnMut(u64) -> String) -> (u64, Result<Names, String>) {
    let (mut inquiry, hello) = Inquiry::begin();
    let mut asked = hello;
    for page in 0.. {
        let lines = String::from_utf8(asked).unwrap();
        let request: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        let result =
            if page == 0 { json!({ "capabilities": {} }).to_string() } else { answer(page) };
        let line = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, request["id"]);
        match inquiry.handle(line.as_bytes()) {
            InquiryTurn::Ask(next) => asked = next,
            InquiryTurn::Done(listed) => {
                return (page, Ok((listed.tools.names(), listed.unfinished)));
            }
            InquiryTurn::Fail(why) => return (page, Err(why)),
            turn @ (InquiryTurn::Wait | InquiryTurn::Reply(_)) => panic!("{turn:?} after {line}"),
        }
    }
    unreachable!("pages go on for ever");
}

fn cut(why: &str, count: usize) -> String {
    format!("the server's list of tools is incomplete: {why}; only the first {count} tools count")
}

#[test]
fn the_query_ends_after_ten_thousand_pages() {
    let page = |number: u64| {
        json!({ "tools": [{ "name": "a" }], "nextCursor": number.to_string() }).to_string()
    };
    let (asked, end) = pages(page);
    assert_eq!(end, Ok((vec!["a".to_owned()], Some(cut("it has over 10000 pages", 10_000)))));
    assert_eq!(asked, 10_000);
    let last = |number| if number < 10_000 { page(number) } else { r#"{"tools":[]}"#.to_owned() };
    assert_eq!(pages(last), (10_000, Ok((vec!["a".to_owned()], None))));
}

#[test]
fn the_query_ends_after_sixty_four_mebibytes() {
    let blank = " ".repeat(20 * 1024 * 1024);
    let page =
        |number| format!(r#"{{"tools":[{{"name":"t{number}"}}],{blank}"nextCursor":"{number}"}}"#);
    let (asked, end) = pages(page);
    let names = ["t1", "t2", "t3"].map(str::to_owned).to_vec();
    assert_eq!(end, Ok((names, Some(cut("it wrote over 64 MiB", 3)))));
    assert_eq!(asked, 4);
}

/// Noise counts too; before the first page nothing is kept.
#[test]
fn noise_counts_toward_the_limit() {
    let (mut inquiry, _) = Inquiry::begin();
    let noise = vec![b'x'; 40 * 1024 * 1024];
    assert!(matches!(inquiry.handle(&noise), InquiryTurn::Wait));
    let InquiryTurn::Fail(why) = inquiry.handle(&noise) else { panic!("it goes on") };
    assert_eq!(why, "server did not answer `initialize`: it wrote over 64 MiB");
}

#[test]
fn the_query_ends_at_the_maximum_number_of_tools() {
    let tools = vec![r#"{"name":"a"}"#; MAX_TOOLS + 1].join(",");
    let (_, end) = pages(|_| format!(r#"{{"tools":[{tools}]}}"#));
    assert_eq!(end, Ok((vec!["a".to_owned()], Some(cut("it has over 20000 tools", MAX_TOOLS)))));
}

/// A list ends at a missing, null or empty cursor; a repeated cursor ends the query early.
#[test]
fn a_list_ends_without_a_further_cursor() {
    for end in ["", r#","nextCursor":null"#, r#","nextCursor":"""#] {
        let (asked, end) = pages(|_| format!(r#"{{"tools":[{{"name":"a"}}]{end}}}"#));
        assert_eq!((asked, end), (1, Ok((vec!["a".to_owned()], None))));
    }
    let (asked, end) =
        pages(|number| format!(r#"{{"tools":[{{"name":"t{number}"}}],"nextCursor":"x"}}"#));
    let names = ["t1", "t2"].map(str::to_owned).to_vec();
    assert_eq!((asked, end), (2, Ok((names, Some(cut("it gave the same cursor twice", 2))))));
}

#[test]
fn an_answer_that_is_too_long_to_read_ends_the_query() {
    let (mut inquiry, _) = Inquiry::begin();
    assert!(matches!(inquiry.handle_too_long(&["2".to_owned()]), InquiryTurn::Wait));
    assert!(matches!(inquiry.handle_too_long(&[]), InquiryTurn::Wait));
    let InquiryTurn::Fail(why) = inquiry.handle_too_long(&["2".to_owned(), "1".to_owned()]) else {
        panic!("it goes on")
    };
    assert_eq!(why, "server sent an unreadable answer to `initialize`");
}
