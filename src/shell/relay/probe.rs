//! Asks a server for its tools: starts it, reads its list to the end, and stops it. No tool is called.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::shell::os::{self, Signal};
use anyhow::{Context as _, anyhow, bail};
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::wire::discovery::{Inquiry, InquiryTurn, Listed};
use crate::engine::wire::line::Line;

use super::lane::{Lane, Outlet};
use crate::shell::exit::Exit;
use crate::shell::grace;
use crate::shell::signals;
use crate::shell::upstream::Upstream;
use crate::shell::wakeup::{self, WakeupEvent, WakeupReceiver, WakeupSender};

/// The longest line that is read, in bytes, as it is for `wrap`.
const MAX_FRAME: usize = 64 * 1024 * 1024;
/// How many bytes the server may leave unread before it gets no more replies.
const MAX_UNREAD: usize = 64 * 1024;

/// Why a server's tools are not known.
#[derive(Debug)]
pub enum ProbeError {
    /// The server could not be started.
    NotStarted(io::Error),
    /// callgate was told to stop, by the signal with this number.
    Signalled(u8),
    /// The server gives no answer that can be used.
    Unanswered(anyhow::Error),
}

impl From<anyhow::Error> for ProbeError {
    fn from(error: anyhow::Error) -> Self {
        ProbeError::Unanswered(error)
    }
}

/// How long a server may take.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// For each answer.
    pub each: Duration,
    /// For all answers together.
    pub all: Duration,
}

/// Returns what a server lists as its tools, on all pages. Its stderr is inherited.
///
/// # Errors
/// See [`ProbeError`]. A server that was started is stopped in any case.
pub fn tools(command: &[OsString], limits: TimeLimits) -> Result<Listed, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the event loop")?;
    runtime.block_on(async {
        let (wakeups, events) = wakeup::channel();
        signals::take_over(&wakeups).context("failed to take over signals")?;
        ask(command, limits, wakeups, events).await
    })
}

/// The same for a caller that has an event loop, and that takes signals over if it wants to.
///
/// # Errors
/// As for [`tools`].
pub async fn ask(
    command: &[OsString],
    limits: TimeLimits,
    wakeups: WakeupSender,
    events: WakeupReceiver,
) -> Result<Listed, ProbeError> {
    let (upstream, stdin, stdout) =
        Upstream::spawn(command, wakeups).map_err(ProbeError::NotStarted)?;
    let open = || "failed to open the server's pipes";
    let mut probe = Probe {
        upstream,
        wakeups: events,
        silent: Lane::silent(),
        to_server: Outlet::new(stdin).with_context(open)?,
        server: Lane::new(stdout, MAX_FRAME).with_context(open)?,
        exit: None,
        signal: None,
        limits,
        latest: Instant::now(),
        end: after(limits.all),
    };
    let listed = probe.list().await;
    probe.stop().await;
    match probe.signal {
        Some(number) => Err(ProbeError::Signalled(number)),
        None => Ok(listed?),
    }
}

/// A server that is being asked.
struct Probe {
    upstream: Upstream,
    wakeups: WakeupReceiver,
    /// The direction from a client, which does not exist here.
    silent: Lane,
    to_server: Outlet,
    server: Lane,
    exit: Option<Exit>,
    /// The signal that told callgate to stop.
    signal: Option<u8>,
    limits: TimeLimits,
    /// When the server's time for its next answer is up.
    latest: Instant,
    /// When the time for all answers is up.
    end: Instant,
}

/// Why no answer will come.
enum Silence {
    /// The server's time is up.
    Late,
    /// The server has exited, or closed its stdout.
    Ended,
    /// callgate was told to stop.
    Told,
}

impl Probe {
    /// Asks and reads until the list is complete.
    async fn list(&mut self) -> anyhow::Result<Listed> {
        let (mut inquiry, hello) = Inquiry::begin();
        self.ask(hello);
        loop {
            while let Some(line) = self.next_line() {
                let turn = match line {
                    Line::Whole { start, content_end, .. } => {
                        inquiry.handle(self.server.buffer.slice(start, content_end))
                    }
                    Line::TooLong(line) => inquiry.handle_too_long(&line.ids),
                };
                match turn {
                    InquiryTurn::Wait => {}
                    InquiryTurn::Reply(reply) => {
                        // A server that asks for ever and reads nothing gets no more replies.
                        if self.to_server.queue.len() < MAX_UNREAD {
                            self.to_server.queue.extend(reply);
                        }
                    }
                    InquiryTurn::Ask(lines) => self.ask(lines),
                    InquiryTurn::Done(listed) => return Ok(listed),
                    InquiryTurn::Fail(why) => return Err(anyhow!(why)),
                }
            }
            let method = inquiry.awaits();
            match self.wait().await {
                None => {}
                Some(Silence::Late) if Instant::now() >= self.end => {
                    let why = format!("it took over {} s", self.limits.all.as_secs_f64());
                    return match inquiry.stop(&why) {
                        InquiryTurn::Done(listed) => Ok(listed),
                        _ => Err(anyhow!("server did not answer `{method}`: {why}")),
                    };
                }
                Some(Silence::Late) => {
                    let seconds = self.limits.each.as_secs_f64();
                    return given_up(
                        &mut inquiry,
                        format!("server did not answer `{method}` within {seconds} s"),
                    );
                }
                Some(Silence::Ended) => {
                    let exited = self.stop().await;
                    let end = exited.map_or("server closed its stdout".to_owned(), Exit::message);
                    return given_up(&mut inquiry, format!("{end} before it answered `{method}`"));
                }
                Some(Silence::Told) => bail!("callgate was told to stop"),
            }
        }
    }

    /// Sends a request; the server's time for the answer runs from here.
    fn ask(&mut self, lines: Vec<u8>) {
        self.to_server.queue.extend(lines);
        self.latest = after(self.limits.each).min(self.end);
    }

    /// The next line of the server, or what is left of it at its end.
    fn next_line(&mut self) -> Option<Line> {
        let line = self.server.buffer.next_line();
        line.or_else(|| self.server.source.is_none().then(|| self.server.buffer.last_line())?)
    }

    /// Waits until something has come; returns why, if nothing will.
    async fn wait(&mut self) -> Option<Silence> {
        if self.signal.is_some() {
            return Some(Silence::Told);
        }
        if self.server.source.is_none() {
            return Some(Silence::Ended);
        }
        if Instant::now() >= self.latest {
            return Some(if self.exit.is_some() { Silence::Ended } else { Silence::Late });
        }
        // The next call finds out whether the time is up.
        let _ = timeout_at(self.latest, self.something()).await;
        None
    }

    /// Ready when anything has come.
    fn something(&mut self) -> impl Future<Output = ()> {
        poll_fn(|cx| if self.moves(cx) { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Writes, reads, and takes in events. True if anything came.
    fn moves(&mut self, cx: &mut Context<'_>) -> bool {
        self.to_server.flush(&mut self.silent, cx);
        let mut came = self.server.read(cx);
        while let Poll::Ready(Some(event)) = self.wakeups.poll_recv(cx) {
            came = true;
            match event {
                WakeupEvent::Signalled(number) => self.signal = Some(number),
                WakeupEvent::ServerExited(exit) => {
                    self.exit = Some(exit);
                    let soon = Instant::now().checked_add(grace::SILENCE_AFTER_EXIT);
                    self.latest = soon.map_or(self.latest, |soon| soon.min(self.latest));
                }
                WakeupEvent::Suspended => {
                    os::suspend();
                }
                WakeupEvent::PolicyChecked(_) => {}
            }
        }
        came
    }

    /// Stops the server, as `wrap` does. Returns how it ended, if it did so by itself.
    async fn stop(&mut self) -> Option<Exit> {
        self.to_server.close();
        let by_itself = self.exit_within(grace::EOF_TO_SIGTERM).await;
        self.upstream.signal(Signal::TERM);
        self.exit_within(grace::SIGTERM_TO_SIGKILL).await;
        self.upstream.signal(Signal::KILL);
        by_itself
    }

    /// Waits until the server has exited and no process of its group is left; drops what it still writes.
    async fn exit_within(&mut self, patience: Duration) -> Option<Exit> {
        let begun = Instant::now();
        loop {
            while self.next_line().is_some() {}
            let is_over = self.exit.is_some() && !self.upstream.has_group();
            if is_over || begun.elapsed() >= patience {
                return self.exit;
            }
            // Nothing reports the end of a group.
            let _ = timeout(grace::GROUP_CHECK, self.something()).await;
        }
    }
}

/// What the server has listed before this went wrong, if it has listed anything.
fn given_up(inquiry: &mut Inquiry, why: String) -> anyhow::Result<Listed> {
    match inquiry.give_up(why) {
        InquiryTurn::Done(listed) => Ok(listed),
        InquiryTurn::Fail(why) => Err(anyhow!(why)),
        InquiryTurn::Wait | InquiryTurn::Reply(_) | InquiryTurn::Ask(_) => {
            bail!("the conversation has no end")
        }
    }
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}
