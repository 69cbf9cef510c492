//! callgate runs between an MCP client and an MCP server on stdio, and checks every tool call against a policy before
//! the server sees it. This page is the map of the code; the contract is the manual's page `contract`.
//!
//! # The picture
//!
//! A pure [`engine`] (bytes and the time in, values out) inside a [`shell`] (one loop, one child, one watcher, two
//! stores) inside [`command`]s (one file or folder for each verb).
//!
//! "a ► b" means that a may import b. `tests/tidy` compares the code with these pictures: it fails for an import that
//! is not drawn, a drawn one that the code does not use, a circle, and a room that is not drawn.
//!
//! ```text
//! src/
//!   main       ► cli, command, shell
//!   command    ► cli, manual, shell, engine
//!   cli        ► manual, engine              the parsed command line
//!   manual     ►                             the manual's pages, as text
//!   shell      ► engine                      descriptors, processes, clocks, stores
//!   engine     ►                             bytes and the time in, values out
//! ```
//!
//! ```text
//! src/engine/
//!   session    ► decide, wire, policy, limits, json, text, outcome, work, interrupt   one run, as a value
//!   compile    ► decide, wire, policy, limits, json, text, outcome, work   policy files to policies
//!   intercept  ► compile, policy, limits, json                             Intercept's YAML to policy files
//!   propose    ► decide, wire, policy, limits, json, text, work            proposed policies for a server's tools
//!   decide     ► wire, policy, limits, json, text, outcome, work           the decision on one call
//!   wire       ► json, text, outcome, interrupt                            frames, ids, MCP's words, own messages
//!   policy     ► limits, json, text, work                                  rules, conditions, paths
//!   json       ► text, work, interrupt                                     strict reader, exact decimals, arguments
//!   text       ► work                                                      names, and text that is safe to show
//!   limits     ► text                                                      amounts, windows, counters
//!   outcome    ► text                                                      allowed, denied, or to be approved
//!   work       ►                                                           the work budget of a decision
//!   interrupt  ►                                                           a flag that stops reading a long line
//! ```
//!
//! ```text
//! src/shell/
//!   relay      ► audit, counters, exit, grace, os, registry, signals, stderr, upstream, wakeup, watch      the loop
//!   upstream   ► exit, os, wakeup                                    the server: one child
//!   signals    ► os, wakeup                                          signals that end or suspend a session
//!   wakeup     ► exit, watch                                         everything except lines that wakes the loop
//!   watch      ► file, os                                            the policy file, while a session runs
//!   registry   ► audit, os                                           the running sessions
//!   state_dir  ► audit, counters, digest, file, os                   the paths of state and logs
//!   audit      ► digest, os                                          the audit log and its chain
//!   counters   ► digest, file, grace, os, stderr                     counters in memory, SQLite or Redis
//!   stderr     ► os                                                  messages on stderr
//!   file       ► os                                                  reading files whole, replacing them in one step
//!   os         ►                                                     system calls, and all that differs by platform
//!   exit, digest, grace ►                                            a server's exit; SHA-256; time limits of a stop
//! ```
//!
//! ```text
//! src/command/
//!   wrap       ► input                                               run a server behind a policy
//!   scan       ► explain, input, show                                propose a policy
//!   check      ► input, show                                         validate policies, run their tests
//!   explain    ► input, show                                         explain the decision on a call
//!   replay     ► input, show                                         decide a recorded session again
//!   import     ► input, show                                         convert an Intercept policy
//!   status     ► input, log, show                                    sessions, counters, recent denials
//!   log        ► input, show                                         read and verify the audit log
//!   help, schema, completions ► show
//!   error      ►                                                     why a command fails, and its exit code
//!   input      ► show                                                policy files, recordings, server commands, names
//!   show       ►                                                     stdout, tables, diagnostics, JSON
//! ```
//!
//! # The path of a frame
//!
//! ```text
//! pipe → LineBuffer → frame → Session::handle → Turn::Do(Step) → record → act
//!                                │                  ▲
//!                                └── Turn::Settle ──┘ the ledger settles the call's limits, all or none
//! ```
//!
//! 1. [`engine::wire::line::LineBuffer`] takes bytes and hands out whole lines. It discards lines over the cap.
//! 2. [`engine::wire::frame`] proves in one pass that a line is strict JSON without ambiguous keys, and finds the parts
//!    of its envelope. It refuses a line of the client that two parsers could read differently.
//! 3. [`engine::session::Session::handle`] returns what to do ([`engine::session::Turn`]): forward the line, answer it,
//!    replace it, or let the ledger settle the limits first and then call [`engine::session::Session::resume`].
//! 4. [`engine::decide::decide`] decides one call. It takes the steps of [`engine::decide::steps::STEPS`] in order
//!    (contract 3.5), within a budget of [`engine::work`]; every decision names its rule.
//! 5. [`shell::relay`] carries out the [`engine::session::Step`]: first the record, then the effect. It writes a
//!    forwarded line from the buffer that the line was read into.
//!
//! # The path of a policy
//!
//! ```text
//! file → shell::watch → compile → Session::reload          (the watcher's threads → between two lines of the loop)
//! ```
//!
//! [`shell::watch`] notices that the file may have changed, then reads and compiles it on its own threads;
//! [`shell::relay`] swaps in the new [`engine::policy::Policy`] as a whole. An invalid file changes nothing.
//!
//! A policy takes effect if it compiles and its own tests pass ([`engine::compile::policy_test`]);
//! [`engine::compile::review`] combines both, and [`command::show::diagnostics`] shows the problems.
//! [`engine::decide::explain`] observes the same decision code, so an explanation cannot disagree with a decision.
//!
//! # Counters and records
//!
//! ```text
//!   Turn::Settle ───► shell::counters ──► all limits charged, or none        memory │ sqlite │ redis
//!   Step ► record ──► audit::event ──► audit::fold ──► audit::chain ──► server.jsonl, server.head  one lock, one write
//!                                                          ├──► audit::tail ──► log, status
//!                                                          └──► audit::verify ──► log verify
//! ```
//!
//! [`shell::relay::effects`] does both for the loop. [`engine::limits::settle`] defines what a reservation does:
//! [`shell::counters::sqlite`] applies it to rows in one transaction. The script of [`shell::counters::redis`] does the
//! same on the Redis server, and is tested against it. A call's record is written before the call is forwarded; records
//! that may come later are queued, and written with the next one. While a store or a log is locked, the client's
//! direction waits, and the server's continues. [`shell::audit::chain`] lets processes share one log, and handles what
//! a killed process leaves behind; [`shell::audit::tail`] reads the lines back, and [`shell::audit::verify`] proves
//! that none is missing. [`shell::registry`] lists the running sessions.
//!
//! # The end
//!
//! [`shell::relay`] decides when a session ends; its module `shutdown` decides what it waits for then, and how long.
//! Signals, the server's exit and new policies reach the loop through one channel ([`shell::wakeup`]).
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
//! # Invariants
//!
//! 1. A frame is forwarded as the bytes that came, or it is not forwarded.
//! 2. A line that cannot be read unambiguously is refused.
//! 3. The engine receives the time, and never reads a clock.
//! 4. A [`engine::policy::Policy`] that exists is valid: only [`engine::compile`] creates one.
//! 5. A decision names the rule that made it.
//! 6. Checks and charges are one step: a decision lists its demands, and the ledger settles them together.
//! 7. Each request is answered once ([`engine::wire::in_flight`]).
//! 8. A failed reload changes nothing, and reports every problem.
//! 9. stdout carries only the protocol.
//! 10. Foreign text is escaped wherever it is shown ([`engine::text::escape`]).
//!
//! # Reading order
//!
//! [`engine::session`], [`engine::decide`], [`engine::policy`], [`engine::policy::condition`], [`engine::limits`], then
//! the readers ([`engine::wire::frame`], [`engine::json::reader`], [`engine::json::value`]), then [`shell::relay`].

#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "arguments may come from the environment, and name files"
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
    reason = "clocks, files, processes and threads belong in the shell"
)]
pub mod shell;
