//! `callgate status --watch`: the overview again and again. A terminal shows it on a screen of its own, which is drawn
//! over in one write, so that nothing flickers; anything else gets one after the other.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{IsTerminal as _, Write};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::cli::{Format, ViewArgs};
use crate::command::Error;
use crate::command::show::stdout;
use crate::shell::os::{self, Signal};
use crate::shell::signals;
use crate::shell::wakeup::{self, WakeupEvent, WakeupReceiver};

use super::overview::{Overview, StateView};
use super::{json, text};

/// How long it stays.
const PERIOD: Duration = Duration::from_secs(1);
/// … or so many times as long as it took to make, if that is longer.
const REST: u32 = 4;
/// How often it is looked whether somebody still reads.
const TICK: Duration = Duration::from_millis(100);

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// What ends a rest.
enum Woken {
    /// It is over.
    Rested,
    /// Ctrl-Z.
    Suspended,
    /// Nobody reads any more.
    Unread,
    /// A signal of this number.
    Signalled(u8),
}

/// Shows it until it is told to stop, or nobody reads it.
///
/// # Errors
/// No state directory is known, or stdout cannot be written.
pub(super) fn watch(args: &ViewArgs) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the event loop")?;
    let (wakeups, mut events) = wakeup::channel();
    {
        let _entered = runtime.enter();
        signals::take_over(&wakeups).context("failed to take over signals")?;
    }
    let mut sight = StateView::new(&args.whose)?;
    let format = args.whose.format;
    let on_terminal = format == Format::Text && std::io::stdout().is_terminal();
    let mut ended_by = None;
    stdout::result(|out| {
        let out = &mut Screen { out, on_terminal, is_open: false };
        loop {
            let begun = Instant::now();
            out.show(&sight.look(), format)?;
            let rest = PERIOD.max(begun.elapsed().saturating_mul(REST));
            match wait(&runtime, &mut events, rest) {
                Woken::Rested => {}
                Woken::Suspended => {
                    out.close()?;
                    os::suspend();
                }
                Woken::Unread => return Ok(()),
                Woken::Signalled(number) => {
                    ended_by = Some(number);
                    return out.close();
                }
            }
        }
    })?;
    // Ctrl-C is how a person ends it.
    let interrupt = u8::try_from(Signal::INT.as_raw()).ok();
    match ended_by {
        Some(number) if ended_by != interrupt => Err(Error::Signalled(number)),
        _ => Ok(()),
    }
}

fn wait(runtime: &Runtime, events: &mut WakeupReceiver, rest: Duration) -> Woken {
    let begun = Instant::now();
    while begun.elapsed() < rest {
        let tick = TICK.min(rest.saturating_sub(begun.elapsed()));
        let next = async { timeout(tick, poll_fn(|cx| events.poll_recv(cx))).await };
        match runtime.block_on(next) {
            Ok(Some(WakeupEvent::Signalled(number))) => return Woken::Signalled(number),
            Ok(Some(WakeupEvent::Suspended)) => return Woken::Suspended,
            Ok(Some(WakeupEvent::ServerExited(_) | WakeupEvent::PolicyChecked(_)) | None)
            | Err(_) => {}
        }
        if !stdout::is_read() {
            return Woken::Unread;
        }
    }
    Woken::Rested
}

/// Where it is shown.
struct Screen<'o> {
    out: &'o mut dyn Write,
    /// On a terminal.
    on_terminal: bool,
    /// The terminal shows our screen in place of what was there.
    is_open: bool,
}

impl Screen<'_> {
    fn show(&mut self, overview: &Overview, format: Format) -> anyhow::Result<()> {
        let mut drawn = String::new();
        match (format, self.on_terminal) {
            (Format::Json, _) => writeln!(drawn, "{}", json(overview)?)?,
            (Format::Text, true) => self.draw(&mut drawn, overview)?,
            (Format::Text, false) => {
                writeln!(drawn, "{}", overview.time)?;
                for line in text::lines(overview, stdout::columns()) {
                    writeln!(drawn, "{}", line.show(false, None))?;
                }
                drawn.push('\n');
            }
        }
        self.out.write_all(drawn.as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Over what was drawn before. What the terminal has no room for is left out.
    fn draw(&mut self, drawn: &mut String, overview: &Overview) -> anyhow::Result<()> {
        if !self.is_open {
            drawn.push_str(ENTER);
            self.is_open = true;
        }
        let (columns, in_colour) = (stdout::columns(), stdout::in_colour());
        let rows = stdout::rows().unwrap_or(usize::MAX).max(2);
        let lines = text::lines(overview, columns);
        let time = overview.time.get(..19).unwrap_or_default().replacen('T', " ", 1);
        write!(drawn, "{HOME}{}{CLEAR_LINE}", time.get(..columns).unwrap_or(&time))?;
        let room = rows.saturating_sub(1);
        let shown = if lines.len() > room { room.saturating_sub(1) } else { lines.len() };
        for line in lines.iter().take(shown) {
            write!(drawn, "\r\n{}{CLEAR_LINE}", line.show(in_colour, Some(columns)))?;
        }
        if shown < lines.len() {
            let more = format!("… {} more lines", lines.len().saturating_sub(shown));
            let more: String = more.chars().take(columns).collect();
            write!(drawn, "\r\n{more}{CLEAR_LINE}")?;
        }
        drawn.push_str(CLEAR_BELOW);
        Ok(())
    }

    /// Gives the terminal back as it was.
    fn close(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.is_open) {
            self.out.write_all(LEAVE.as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // If it cannot be written, nobody sees it.
        let _ = self.close();
    }
}
