//! callgate stands between an MCP client and an MCP server on stdio, and decides every tool call by a policy before the
//! server sees it. This page is the map of the house; the contract is the manual's page `contract`.
//!
//! # The picture
//!
//! A pure [`engine`] (bytes and the time in, values out) inside a [`shell`] (one loop, one child, one watcher, two
//! stores) inside [`command`]s (one file or folder a verb).
//!
//! "a ► b" means that a may import b. `tests/tidy` reads these pictures and holds the code to them: an arrow that is
//! missing or that nothing uses, a circle, or a room that is not drawn fails.
//!
//! ```text
//! src/
//!   main       ► cli, command, shell
//!   command    ► cli, manual, shell, engine
//!   cli        ► manual, engine              what is typed, as types
//!   manual     ►                             the manual's pages, as text
//!   shell      ► engine                      descriptors, processes, clocks, stores
//!   engine     ►                             bytes and the time in, values out
//! ```
//!
//! ```text
//! src/engine/
//!   session    ► decide, wire, policy, limits, json, text, outcome, work, interrupt   one run, as a value
//!   compile    ► decide, wire, policy, limits, json, text, outcome, work   a policy file becomes a policy
//!   intercept  ► compile, policy, limits, json                             Intercept's YAML becomes a policy file
//!   propose    ► decide, wire, policy, limits, json, text, work            what a policy might say of a server's tools
//!   decide     ► wire, policy, limits, json, text, outcome, work           the judge of one call
//!   wire       ► json, text, outcome, interrupt                            frames, ids, MCP's words, what callgate writes
//!   policy     ► limits, json, text, work                                  rules, conditions, paths
//!   json       ► text, work, interrupt                                     strict reader, exact decimals, arguments
//!   text       ► work                                                      names, and what is safe to show
//!   limits     ► text                                                      amounts, windows, counters
//!   outcome    ► text                                                      allowed, denied, or to be approved
//!   work       ►                                                           how much work a decision may take
//!   interrupt  ►                                                           a flag that ends the reading of a long line
//! ```
//!
//! ```text
//! src/shell/
//!   relay      ► audit, counters, exit, grace, os, registry, signals, stderr, upstream, wakeup, watch      the loop
//!   upstream   ► exit, os, wakeup                                    the server: one child
//!   signals    ► os, wakeup                                          signals that end or suspend a session
//!   wakeup     ► exit, watch                                         everything that can wake the loop but lines
//!   watch      ► file, os                                            the policy file, while a session runs
//!   registry   ► audit, os                                           which sessions run
//!   state_dir  ► audit, counters, digest, file, os                   where state and logs are kept
//!   audit      ► digest, os                                          the audit log and its chain
//!   counters   ► digest, file, grace, os, stderr                     counters in memory, SQLite or Redis
//!   stderr     ► os                                                  messages on stderr
//!   file       ► os                                                  files read whole, and replaced in one step
//!   os         ►                                                     system calls, and whatever differs by platform
//!   exit, digest, grace ►                                            how a server ended; SHA-256; how long a stop may take
//! ```
//!
//! ```text
//! src/command/
//!   wrap       ► input                                               run a server behind a policy
//!   scan       ► explain, input, show                                propose a policy
//!   check      ► input, show                                         validate policies, run their tests
//!   explain    ► input, show                                         why a call is decided as it is
//!   replay     ► input, show                                         decide a recorded session again
//!   import     ► input, show                                         convert an Intercept policy
//!   status     ► input, log, show                                    sessions, counters, recent denials
//!   log        ► input, show                                         read and verify the audit log
//!   help, schema, completions ► show
//!   error      ►                                                     why a command ends otherwise than with success
//!   input      ► show                                                policy files, recordings, a server's command and name
//!   show       ►                                                     stdout, tables, diagnostics, JSON
//! ```
//!
//! # The way of a frame
//!
//! ```text
//! pipe → LineBuffer → frame → Session::handle → Turn::Do(Step) → record → act
//!                                │                  ▲
//!                                └── Turn::Settle ──┘ the ledger settles the call's limits, all or none
//! ```
//!
//! 1. [`engine::wire::line::LineBuffer`] takes bytes and hands out whole lines. A line over the cap goes by unread.
//! 2. [`engine::wire::frame`] proves in one pass that a line is strict JSON without doubtful keys, and finds its
//!    envelope. What the client sends and two parsers could read differently is refused here.
//! 3. [`engine::session::Session::handle`] says what to do ([`engine::session::Turn`]): forward the line, answer it,
//!    replace it, or have the ledger settle the limits first and come back ([`engine::session::Session::resume`]).
//! 4. [`engine::decide::decide`] judges one call. It takes the steps that [`engine::decide::steps::STEPS`] lists (contract
//!    3.5), within a budget of [`engine::work`]; every decision names its rule.
//! 5. [`shell::relay`] carries the [`engine::session::Step`] out: first the record, then the effect. A line that is
//!    forwarded is written from the buffer it was read into.
//!
//! # The way of a policy
//!
//! ```text
//! file → shell::watch → compile → Session::reload          (the watcher's threads → between two lines of the loop)
//! ```
//!
//! [`shell::watch`] notices that the file may have changed, reads it and has it compiled, on threads of its own;
//! [`shell::relay`] hands the new [`engine::policy::Policy`] over whole. A bad file changes nothing.
//!
//! A policy is taken if it compiles and its own tests pass ([`engine::compile::policy_test`]);
//! [`engine::compile::review`] puts that together, and [`command::show::diagnostics`] shows what is wrong.
//! [`engine::decide::explain`] watches the judge at work, so there is no second judge that could disagree.
//!
//! # What is kept
//!
//! ```text
//!   Turn::Settle ───► shell::counters ──► all limits charged, or none        memory │ sqlite │ redis
//!   Step ► record ──► audit::event ──► audit::fold ──► audit::chain ──► server.jsonl, server.head    one lock, one write
//!                                                          ├──► audit::tail ──► log, status
//!                                                          └──► audit::verify ──► log verify
//! ```
//!
//! [`shell::relay::effects`] does both for the loop. [`engine::limits::settle`] says what a reservation means:
//! [`shell::counters::sqlite`] reads its counters from rows and writes them back in one transaction, and the script of
//! [`shell::counters::redis`] does the same at the server and is tested against it. A call's record is written before
//! the call goes out; what may come later is noted, and leaves with the next one. While a store or a log is locked, the
//! client's direction waits and the server's goes on. [`shell::audit::chain`] knows how processes share one log, and
//! what a killed one leaves behind; [`shell::audit::tail`] reads the lines again, and [`shell::audit::verify`] proves
//! that none is missing. [`shell::registry`] tells who runs.
//!
//! # The end
//!
//! [`shell::relay`] says who may end a session; its module `shutdown`, who is waited for then, and how long. Signals and
//! the server's exit reach the loop as a new policy does, through one channel ([`shell::wakeup`]).
//!
//! # The engine by itself
//!
//! The engine cannot tell a live session from a recorded one:
//!
//! ```
//! use std::sync::Arc;
//!
//! use callgate::engine::compile::compile;
//! use callgate::engine::limits::{MemoryLedger, Now};
//! use callgate::engine::session::{Session, SessionOptions, Step};
//! use callgate::engine::wire::line::Side;
//!
//! let policy = compile(br#"{"version":"1","default":"deny","tools":{"search":{}}}"#).expect("a valid policy");
//! let (mut session, mut ledger) =
//!     (Session::new(Arc::new(policy), SessionOptions::default()), MemoryLedger::default());
//! let mut call = |line: &str| {
//!     session.handle_with(&mut ledger, Side::Client, line.as_bytes(), Now::default())
//! };
//!
//! let search = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}"#;
//! assert!(call(search).is_forward());
//! let delete = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"delete"}}"#;
//! assert!(matches!(call(delete), Step::Answer(_)));
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
//! 7. A request is answered once ([`engine::wire::in_flight`]).
//! 8. A bad reload changes nothing and says everything that is wrong.
//! 9. stdout is the wire.
//! 10. What a stranger wrote is escaped where it is shown ([`engine::text::escape`]).
//!
//! # Reading order
//!
//! [`engine::session`], [`engine::decide`], [`engine::policy`], [`engine::policy::condition`], [`engine::limits`], then
//! the readers ([`engine::wire::frame`], [`engine::json::reader`], [`engine::json::value`]), then [`shell::relay`].

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what is typed may stand in the environment, and name a file"
)]
pub mod cli;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "commands read and write files, and print"
)]
pub mod command;
pub mod engine;
pub mod manual;
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks, files, processes and threads belong"
)]
pub mod shell;
