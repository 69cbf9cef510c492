//! callgate stands between an MCP client and an MCP server on stdio, and decides every tool call by a policy
//! before the server sees it. This page is the map of the house; the contract is `src/manual/contract.md`, a
//! page of the [`manual`] that `callgate help` shows.
//!
//! # The picture
//!
//! A pure [`engine`] (bytes and the time in, values out) inside a thin [`shell`] (one loop, one child, one watcher)
//! inside [`command`]s (one file a verb).
//!
//! ```text
//! main ─► cli ─► command ─► shell ─► engine
//!                   └──────────────────► engine
//!
//! inside the engine ("a ► b": a may import b; a test keeps it so)
//!
//!   session ► decide ► policy ► condition ► path ► json ► keys ► value ► decimal
//!      │         ├──► limits   (imports nobody: counters are opaque to it)
//!      │         └──► mcp ► frame ► json
//!      ├──► in_flight, retry      ids, and which retries are free
//!      └──► answer, listing       what callgate writes itself, what it cuts
//!   compile ► source, policy      nobody in the engine imports compile
//!   recording ► line              what replay reads and `--record` writes
//!   inquiry ► mcp, answer, tool_list      how a server is asked for its tools; shell::probe holds the pipes
//!
//!   example ► explain ► decide    tests in a policy; why a call is decided as it is
//!   lint, matrix ► policy         what is likely not meant; a policy beside the tools of a server
//!   extend, observed ► proposal ► classify ► words       what a policy might say of tools that it does not know
//! ```
//!
//! # The way of a frame
//!
//! ```text
//! pipe → LineBuffer → frame → Session::handle → Step → record → act
//!                                │         ▲
//!                                └ Reserve ┘ the ledger settles the call's limits, all or none
//! ```
//!
//! 1. [`engine::line::LineBuffer`] takes bytes and hands out whole lines. A line over the cap goes by unread.
//! 2. [`engine::frame`] proves in one pass that a line is strict JSON, without doubtful keys, and finds its
//!    envelope. What the client sends and two parsers could read differently is refused here.
//! 3. [`engine::session::Session::handle`] says what is to be done: forward the line, answer it, put another in
//!    its place, or have the ledger settle the limits first and come back ([`engine::session::Session::resume`]).
//! 4. [`engine::decide::decide`] is the judge of one call. It goes through the steps of SPEC 3.5 in their order, and
//!    every verdict names its rule.
//! 5. [`shell::relay`] carries the [`engine::session::Step`] out: the record first, then the effect. A line that is
//!    forwarded is written from the buffer it was read into.
//!
//! # The way of a policy
//!
//! ```text
//! file → shell::watch → compile → Session::reload          (the watcher's thread → between two lines of the loop)
//! ```
//!
//! [`shell::watch`] finds out that the file may have changed, reads it and has it compiled, all on a thread of its
//! own; [`shell::relay`] hands the new [`engine::policy::Policy`] over whole. A bad file changes nothing.
//!
//! Text of others is escaped by [`engine::visible`], wherever it is printed.
//!
//! A policy is taken if it compiles and its own tests pass ([`engine::example`]); [`command::policy_file`] puts that
//! together, and [`command::diagnostics`] shows what is wrong. [`engine::explain`] watches the judge at its work: there
//! is no second one that could disagree. [`command::import`] makes a policy file of one of Intercept's.
//!
//! # What is kept
//!
//! ```text
//!   Step::Reserve ──► shell::ledger ──► all limits charged, or none        memory │ sqlite │ redis
//!   Step::record ──► audit::lines ──► audit::fold ──► audit::chain ──► server.jsonl, server.head    one lock, one write
//!                                                          ├──► audit::trail ──► log, status
//!                                                          └──► audit::verify ──► log verify
//! ```
//!
//! [`shell::books`] holds both for [`shell::relay`], beside the way to people. What a reservation means is said once,
//! in [`engine::limits::settle`]: [`shell::ledger::sqlite`] reads its counters from rows and writes them back in one
//! transaction, and the script of [`shell::ledger::redis`] does the same at the server and is tested against it.
//! A call's record is written before the call goes out; what may come later is noted, and leaves with the next one.
//! While a store or a log is locked, the client's direction waits and the server's goes on.
//! [`shell::audit::chain`] knows how processes share one log, and what a killed one leaves behind;
//! [`shell::audit::trail`] reads the lines again, and [`shell::audit::verify`] proves that none is missing.
//! [`shell::sessions`] tells who runs.
//!
//! # The end
//!
//! [`shell::relay`] says who may end a session, `shell/relay/ends.rs` who is waited for then, and how long. Signals
//! and the server's exit reach the loop as a new policy does, through one channel ([`shell::news`]).
//!
//! # The engine by itself
//!
//! The engine cannot tell a live session from a recorded one:
//!
//! ```
//! use std::sync::Arc;
//!
//! use callgate::engine::compile::compile;
//! use callgate::engine::limits::Now;
//! use callgate::engine::line::Side;
//! use callgate::engine::session::{Action, Session, Settings};
//!
//! let policy = compile(br#"{"version":"1","default":"deny","tools":{"search":{}}}"#).expect("a valid policy");
//! let mut session = Session::new(Arc::new(policy), Settings::default());
//! let mut call = |line: &str| session.handle(Side::Client, line.as_bytes(), Now::default()).action;
//!
//! let search = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#;
//! assert!(matches!(call(search), Action::Forward));
//! let delete = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"delete"}}"#;
//! assert!(matches!(call(delete), Action::Answer(_)));
//! ```
//!
//! # What always holds
//!
//! 1. A frame is forwarded as the bytes that came, or it is not forwarded.
//! 2. What cannot be read without doubt is refused.
//! 3. The engine is given the time; it never asks.
//! 4. A [`engine::policy::Policy`] that exists is sound: only [`engine::compile`] makes it.
//! 5. A decision says which rule made it.
//! 6. What is checked is what is charged: a decision lists its demands, the ledger settles them in one step.
//! 7. A request is answered once ([`engine::in_flight`]).
//! 8. A bad reload changes nothing and says everything that is wrong.
//! 9. stdout is the wire.
//!
//! # Reading order
//!
//! [`engine::session`], [`engine::decide`], [`engine::policy`], [`engine::condition`], [`engine::limits`], then the
//! readers ([`engine::frame`], [`engine::json`], [`engine::value`]), then [`shell::relay`].

pub mod cli;
pub mod command;
pub mod engine;
pub mod manual;
pub mod shell;
