//! Asks a server for its tools: it is started, heard to the end of its list, and stopped. Nothing is called.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::shell::os::{self, Signal};
use anyhow::{Context as _, anyhow, bail};
use tokio::time::{Instant, timeout, timeout_at};

use crate::engine::wire::discovery::{Inquiry, Listed, Turn};
use crate::engine::wire::line::Line;

use super::lane::{Lane, Outlet};
use crate::shell::exit::Exit;
use crate::shell::signals;
use crate::shell::upstream::{AFTERMATH, GLANCE, MERCY, PATIENCE, Upstream};
use crate::shell::wakeup::{self, News, NewsReceiver, NewsSender};

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
    /// The server does not answer as a server does.
    Unanswered(anyhow::Error),
}

impl From<anyhow::Error> for ProbeError {
    fn from(error: anyhow::Error) -> Self {
        ProbeError::Unanswered(error)
    }
}

/// How long a server is listened to.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimits {
    /// For each of its answers.
    pub each: Duration,
    /// For all of them.
    pub all: Duration,
}

/// What a server lists as its tools, on all pages. What it says on stderr is seen.
///
/// # Errors
/// As [`ProbeError`] says. Whatever happens, a server that was started is stopped.
pub fn tools(command: &[OsString], limits: TimeLimits) -> Result<Listed, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the event loop")?;
    runtime.block_on(async {
        let (news, heard) = wakeup::channel();
        signals::take_over(&news).context("failed to take signals over")?;
        ask(command, limits, news, heard).await
    })
}

/// The same for a caller that has an event loop, and hears signals if it wants to.
///
/// # Errors
/// As for [`tools`].
pub async fn ask(
    command: &[OsString],
    limits: TimeLimits,
    news: NewsSender,
    heard: NewsReceiver,
) -> Result<Listed, ProbeError> {
    let (upstream, stdin, stdout) =
        Upstream::spawn(command, news).map_err(ProbeError::NotStarted)?;
    let open = || "failed to open the server's pipes";
    let mut probe = Probe {
        upstream,
        news: heard,
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
    news: NewsReceiver,
    /// There is no client whose lines would lead to the server.
    silent: Lane,
    to_server: Outlet,
    server: Lane,
    exit: Option<Exit>,
    /// The signal that told callgate to stop.
    signal: Option<u8>,
    limits: TimeLimits,
    /// When the server's time for its next answer is up.
    latest: Instant,
    /// When its time is up for good.
    end: Instant,
}

/// Why nothing more will come.
enum Silence {
    /// The server's time is up.
    Late,
    /// The server has exited, or closed its stdout.
    Ended,
    /// callgate was told to stop.
    Told,
}

impl Probe {
    /// Leads the conversation to its end.
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
                    Turn::Wait => {}
                    Turn::Reply(reply) => {
                        // One that asks for ever and reads nothing is answered for a while.
                        if self.to_server.queue.len() < MAX_UNREAD {
                            self.to_server.queue.extend(reply);
                        }
                    }
                    Turn::Ask(lines) => self.ask(lines),
                    Turn::Done(listed) => return Ok(listed),
                    Turn::Fail(why) => return Err(anyhow!(why)),
                }
            }
            let method = inquiry.awaits();
            match self.wait().await {
                None => {}
                Some(Silence::Late) if Instant::now() >= self.end => {
                    let why = format!("it took over {} s", self.limits.all.as_secs_f64());
                    return match inquiry.stop(&why) {
                        Turn::Done(listed) => Ok(listed),
                        _ => Err(anyhow!("server did not answer `{method}`: {why}")),
                    };
                }
                Some(Silence::Late) => {
                    let seconds = self.limits.each.as_secs_f64();
                    bail!("server did not answer `{method}` within {seconds} s");
                }
                Some(Silence::Ended) => {
                    let exited = self.stop().await;
                    let end = exited.map_or("server closed its stdout".to_owned(), Exit::message);
                    bail!("{end} before it answered `{method}`");
                }
                Some(Silence::Told) => bail!("callgate was told to stop"),
            }
        }
    }

    /// Puts a request on its way; the server's time runs from here.
    fn ask(&mut self, lines: Vec<u8>) {
        self.to_server.queue.extend(lines);
        self.latest = after(self.limits.each).min(self.end);
    }

    /// The next line of the server, or what is left of it at its end.
    fn next_line(&mut self) -> Option<Line> {
        let line = self.server.buffer.next_line();
        line.or_else(|| self.server.source.is_none().then(|| self.server.buffer.last_line())?)
    }

    /// Waits until something has come, or says why nothing will.
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
        // Whether the time is up is asked the next time.
        let _ = timeout_at(self.latest, self.something()).await;
        None
    }

    /// Ends when anything has come.
    fn something(&mut self) -> impl Future<Output = ()> {
        poll_fn(|cx| if self.moves(cx) { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Writes, reads and hears what there is. True if anything came.
    fn moves(&mut self, cx: &mut Context<'_>) -> bool {
        self.to_server.flush(&mut self.silent, cx);
        let mut came = self.server.read(cx);
        while let Poll::Ready(Some(news)) = self.news.poll_recv(cx) {
            came = true;
            match news {
                News::Signalled(number) => self.signal = Some(number),
                News::ServerExited(exit) => {
                    self.exit = Some(exit);
                    let soon = Instant::now().checked_add(AFTERMATH);
                    self.latest = soon.map_or(self.latest, |soon| soon.min(self.latest));
                }
                News::Suspended => {
                    os::suspend();
                }
                News::PolicySeen(_) => {}
            }
        }
        came
    }

    /// Stops the server, as `wrap` does. Returns how it ended, if it did so by itself.
    async fn stop(&mut self) -> Option<Exit> {
        self.to_server.close();
        let by_itself = self.exit_within(PATIENCE).await;
        self.upstream.signal(Signal::TERM);
        self.exit_within(MERCY).await;
        self.upstream.signal(Signal::KILL);
        by_itself
    }

    /// Waits until the server has exited, and nobody of its group is left; what it still writes is lost.
    async fn exit_within(&mut self, patience: Duration) -> Option<Exit> {
        let begun = Instant::now();
        loop {
            while self.next_line().is_some() {}
            let is_over = self.exit.is_some() && !self.upstream.has_group();
            if is_over || begun.elapsed() >= patience {
                return self.exit;
            }
            // Nobody tells when a group has gone.
            let _ = timeout(GLANCE, self.something()).await;
        }
    }
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now)
}
