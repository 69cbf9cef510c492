//! The scripts' arguments and replies. This is the Rust side of `reserve.lua` and `release.lua`.

use anyhow::{Context as _, anyhow};

use crate::engine::limits::{
    Amount, Charge, CounterKey, Demand, Few, Now, Reservation, Settlement, Window, charge_of,
};

use super::connection::{Code, ReplyWords, Run, hash};
use super::continuity::{SeenServer, ServerSighting};
use super::keys::{RedisNames, shown, window_name};

const RESERVE_TEXT: &str = concat!(include_str!("amounts.lua"), include_str!("reserve.lua"));
const RELEASE_TEXT: &str = concat!(include_str!("amounts.lua"), include_str!("release.lua"));
static RESERVE: Code = Code::new(RESERVE_TEXT, || hash(RESERVE_TEXT));
static RELEASE: Code = Code::new(RELEASE_TEXT, || hash(RELEASE_TEXT));

/// A reservation to make: the counter of each demand.
#[derive(Debug)]
pub(super) struct Asked {
    counters: Few<CounterKey>,
    places: Few<usize>,
}

/// The reply to a reservation.
#[derive(Debug)]
pub(super) enum ScriptReply {
    Settled(Settlement),
    /// Expected counters have vanished; nothing was charged.
    Lost,
}

impl Asked {
    /// Finds the counter of each demand.
    pub(super) fn new(demands: &[Demand]) -> Self {
        let mut counters: Few<CounterKey> = Few::new();
        let place = |demand: &Demand| {
            let known = counters.iter().position(|counter| *counter == demand.counter);
            known.unwrap_or_else(|| {
                counters.push(demand.counter.clone());
                counters.len().saturating_sub(1)
            })
        };
        let places = demands.iter().map(place).collect();
        Asked { counters, places }
    }

    /// Builds the call of the script. `time_ms` replaces the server's clock in tests.
    pub(super) fn run(
        &self,
        names: &RedisNames,
        id: String,
        demands: &[Demand],
        seen: &SeenServer,
        now: Now,
        time_ms: Option<u64>,
    ) -> Run {
        let mut keys = vec![names.mark()];
        let estimate = seen.estimate_ms(now).unwrap_or_default().to_string();
        let time = time_ms.map(|time| time.to_string()).unwrap_or_default();
        let mark = seen.mark().cloned().unwrap_or_default();
        let count = self.counters.len().to_string();
        let mut args = vec![id, estimate, time, mark.made_by, mark.until_ms, count];
        for (place, counter) in self.counters.iter().enumerate() {
            keys.push(names.key(counter));
            let known = seen.counter(counter).cloned().unwrap_or_default();
            args.extend([known.made_by, known.until_ms, known.charges]);
            args.extend(shape(counter.window).map(|part| part.to_string()));
            args.push(charge_of(place, demands, &self.places).nanos().to_string());
            let of_counter = demands.iter().zip(&self.places).filter(|&(_, &p)| p == place);
            let max = of_counter.map(|(demand, _)| demand.max).min().unwrap_or_default();
            args.push(max.nanos().to_string());
            let (scope, window) = (counter.scope.word(), window_name(counter.window));
            let holder = shown(names.holder(counter.scope));
            let what = [shown(&names.server), scope, holder, shown(&counter.name), &window];
            args.extend(what.map(str::to_owned));
        }
        args.push(demands.len().to_string());
        for (demand, place) in demands.iter().zip(&self.places) {
            args.push(place.saturating_add(1).to_string());
            args.push(demand.max.nanos().to_string());
            args.push(u8::from(demand.enforced).to_string());
        }
        Run { code: &RESERVE, keys, args }
    }

    /// Parses the reply, and records what it shows.
    pub(super) fn read(
        &self,
        demands: &[Demand],
        words: ReplyWords,
        seen: &mut SeenServer,
        now: Now,
    ) -> anyhow::Result<ScriptReply> {
        let mut words = ReplyReader { words: words.into_iter() };
        let kind = words.next()?;
        if kind == "clock" {
            return Err(anyhow!("its clock is beyond the year 9999"));
        }
        let at_ms = words.number()?;
        if kind == "lost" {
            // Whatever was seen before no longer holds here; it may come from another server.
            seen.forget();
            return Ok(ScriptReply::Lost);
        }
        seen.note_time(at_ms, now);
        let charges = "0".to_owned();
        seen.note_mark(ServerSighting { made_by: words.next()?, until_ms: words.next()?, charges });
        if kind == "full" {
            let demand = words.number()?;
            let retry_after_ms = words.next()?.parse().ok();
            return Ok(ScriptReply::Settled(Settlement::Exhausted { demand, retry_after_ms }));
        }
        let missed: Vec<usize> = words.next()?.split(',').flat_map(str::parse).collect();
        let mut slots: Few<Option<u64>> = Few::new();
        for counter in &self.counters {
            let (slot, made_by, charges, until_ms) =
                (words.next()?, words.next()?, words.next()?, words.next()?);
            slots.push(slot.parse().ok());
            if !slot.is_empty() {
                seen.note_counter(counter.clone(), ServerSighting { made_by, until_ms, charges });
            }
        }
        let mut reservation = Reservation::default();
        for (nth, &place) in self.places.iter().enumerate() {
            let Some(slot) = slots.get_mut(place).filter(|_| !missed.contains(&nth)) else {
                continue;
            };
            if let (Some(slot), Some(counter)) = (slot.take(), self.counters.get(place)) {
                let cost = charge_of(place, demands, &self.places);
                reservation.charges.push(Charge { counter: counter.clone(), slot, cost });
            }
        }
        Ok(ScriptReply::Settled(Settlement::Charged { reservation, missed }))
    }
}

/// Builds the call that gives a reservation back, for those of its counters that are still the ones it charged.
pub(super) fn release(
    names: &RedisNames,
    reservation: &Reservation,
    seen: &SeenServer,
) -> Option<Run> {
    let (mut keys, mut args) = (Vec::new(), Vec::new());
    for Charge { counter, slot, cost } in &reservation.charges {
        if let Some(known) = seen.counter(counter) {
            keys.push(names.key(counter));
            args.extend([slot.to_string(), cost.nanos().to_string(), known.made_by.clone()]);
        }
    }
    (!keys.is_empty()).then_some(Run { code: &RELEASE, keys, args })
}

/// The slots of a window: their length in milliseconds, how long before the epoch the first begins, and for how many
/// slots after its own a charge counts. A length of zero is one slot for ever.
fn shape(window: Window) -> [u64; 4] {
    let ms = |seconds: u32| u64::from(seconds).saturating_mul(1000);
    match window {
        Window::Sliding(seconds) => [ms(seconds), window.lasts(), 0, window.lasts()],
        Window::Calendar(seconds) => {
            // The first slot begins before the epoch, and the second where it ends.
            let shift = ms(seconds).saturating_sub(window.slot_start_ms(1));
            [ms(seconds), 1, shift, window.lasts()]
        }
        Window::Session => [0, 1, 0, 0],
    }
}

/// The words of a reply, in order.
struct ReplyReader {
    words: std::vec::IntoIter<String>,
}

impl ReplyReader {
    fn next(&mut self) -> anyhow::Result<String> {
        self.words.next().ok_or_else(|| anyhow!("the server's answer is too short"))
    }

    fn number<N: std::str::FromStr>(&mut self) -> anyhow::Result<N> {
        self.next()?.parse().ok().context("the server's answer is not a number")
    }
}

/// Parses an amount as it is stored.
pub(super) fn amount(nanos: &str) -> Option<Amount> {
    nanos.parse().ok().and_then(Amount::from_nanos)
}
