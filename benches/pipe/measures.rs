//! The measures, and their marks.

use anyhow::Result;

use crate::contestant::{Books, Contestant, Policy, Streams};
use crate::load::Load;
use crate::payload::{Large, Shape};

/// A contestant under a load.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub contestant: Contestant,
    pub load: Load,
}

/// One comparison.
pub struct Measure {
    pub name: String,
    /// The unit of the figures.
    pub unit: &'static str,
    /// The bare server, for orientation.
    pub direct: Option<Run>,
    /// The divisor of the subject's figure; `None` if the figure counts as it is.
    pub base: Option<Run>,
    pub subject: Run,
    pub mark: Mark,
}

/// The mark that a measure must reach.
#[derive(Debug, Clone, Copy)]
pub enum Mark {
    AtMost(f64),
    AtLeast(f64),
    /// There is no mark; the figure is for orientation.
    None,
}

impl Mark {
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Mark::AtMost(most) => figure <= most,
            Mark::AtLeast(least) => figure >= least,
            Mark::None => true,
        }
    }
}

/// The figures of one round.
pub struct Round {
    pub direct: Option<f64>,
    pub base: Option<f64>,
    pub subject: f64,
}

impl Round {
    /// The figure that is compared with the mark.
    pub fn figure(&self) -> f64 {
        self.base.map_or(self.subject, |base| self.subject / base)
    }
}

impl Measure {
    /// Measures every contestant once in each round. Calls `begin` before each round.
    pub fn take(&self, rounds: usize, begin: impl Fn()) -> Result<Vec<Round>> {
        let put = |run: Run| run.load.put_on(run.contestant);
        let round = |_| {
            begin();
            let direct = self.direct.map(put).transpose()?;
            let base = self.base.map(put).transpose()?;
            Ok(Round { direct, base, subject: put(self.subject)? })
        };
        (0..rounds).map(round).collect()
    }
}

impl Measure {
    /// Measures this callgate and the other commit's in turns; `None` if the measure does not involve callgate. Calls
    /// `begin` before each round.
    pub fn take_against(&self, rounds: usize, begin: impl Fn()) -> Result<Option<Vec<(f64, f64)>>> {
        let Contestant::Callgate(policy, books) = self.subject.contestant else { return Ok(None) };
        let load = self.subject.load;
        let round = |nth| {
            begin();
            let other = || load.put_on(Contestant::Other(policy, books));
            // The order alternates.
            if nth % 2 == 0 {
                Ok((other()?, load.put_on(self.subject.contestant)?))
            } else {
                let ours = load.put_on(self.subject.contestant)?;
                Ok((other()?, ours))
            }
        };
        (0..rounds).map(round).collect::<Result<_>>().map(Some)
    }

    /// True for a rate, false for a time or a size.
    pub fn more_is_better(&self) -> bool {
        self.unit.ends_with("/s")
    }
}

const CALLGATE: Contestant = Contestant::Callgate(Policy::PLAIN, Books::Memory);
const DURABLE: Contestant = Contestant::Callgate(Policy::PLAIN, Books::Durable);
const AGED: Contestant = Contestant::Callgate(Policy::PLAIN, Books::Aged);

/// All measures. The marks are those of the project's speed budget: × is a multiple of the byte pipe's figure in the
/// same round.
pub fn measures() -> Vec<Measure> {
    let pipes = Load::Latency("echo", Streams::Pipes);
    let mut all = vec![
        Measure {
            name: "the floor itself: p50 of the byte pipe".to_owned(),
            unit: "µs",
            direct: None,
            base: Some(Run { contestant: Contestant::Direct, load: pipes }),
            subject: Run { contestant: Contestant::BytePipe, load: pipes },
            mark: Mark::AtMost(2.6),
        },
        against_pipe("p50, pipes", "µs", pipes, Mark::AtMost(1.25)),
        against_pipe(
            "p50, socket pairs",
            "µs",
            Load::Latency("echo", Streams::Sockets),
            Mark::AtMost(1.25),
        ),
        against_pipe("CPU per sequential call", "µs", Load::SequentialCpu, Mark::AtMost(1.6)),
        Measure {
            name: "CPU per call, 256 in flight, over sequential".to_owned(),
            unit: "µs",
            direct: None,
            base: Some(Run { contestant: CALLGATE, load: Load::SequentialCpu }),
            subject: Run { contestant: CALLGATE, load: Load::PipelinedCpu(256) },
            mark: Mark::AtMost(0.3),
        },
    ];
    for (depth, mark) in [(1, Mark::None), (16, Mark::None), (256, Mark::AtLeast(0.7))] {
        let name = format!("calls/s, {depth} in flight");
        all.push(against_pipe(&name, "/s", Load::CallsPerSecond(depth, "echo"), mark));
    }
    for (tool, what) in [("nope", "denied"), ("spent", "over the limit")] {
        let subject = Run { contestant: CALLGATE, load: Load::Latency(tool, Streams::Pipes) };
        let name = format!("p50 of a call that is {what}, over one that is allowed");
        all.push(Measure { name, subject, ..against_pipe("", "µs", pipes, Mark::AtMost(0.55)) });
    }
    for others in [10, 100, 1000, 10_000] {
        let policy = Policy { others: others - 1, condition: None };
        let mark = if others == 10_000 { Mark::AtMost(1.1) } else { Mark::None };
        all.push(Measure {
            name: format!("p50, {others} tools in the policy, over one"),
            unit: "µs",
            direct: None,
            base: Some(Run { contestant: CALLGATE, load: pipes }),
            subject: Run { contestant: Contestant::Callgate(policy, Books::Memory), load: pipes },
            mark,
        });
    }
    all.extend(durable());
    all.extend(bulk());
    all.push(against_pipe("start-up to the first answer", "ms", Load::StartUp, Mark::AtMost(1.5)));
    for (name, load, most) in [
        ("peak memory, idle", Load::IdleMemory, 6.0),
        ("its growth, a flood that nobody reads", Load::UnreadMemory, 2.0),
    ] {
        let subject = Run { contestant: CALLGATE, load };
        let mark = Mark::AtMost(most);
        all.push(Measure {
            name: name.to_owned(),
            unit: "MiB",
            direct: None,
            base: None,
            subject,
            mark,
        });
    }
    all
}

/// The cost of keeping counters and records.
fn durable() -> Vec<Measure> {
    let mut all = Vec::new();
    for (tool, what, most) in [
        ("free", "p50 with audit, no limit", 2.0),
        ("twice", "p50 with audit and two durable limits", 3.5),
    ] {
        let load = Load::Latency(tool, Streams::Pipes);
        let subject = Run { contestant: DURABLE, load };
        all.push(Measure { subject, ..against_pipe(what, "µs", load, Mark::AtMost(most)) });
        all.push(Measure {
            name: format!("{what}, after a million calls, over none"),
            unit: "µs",
            direct: None,
            base: Some(subject),
            subject: Run { contestant: AGED, load },
            mark: Mark::AtMost(1.1),
        });
    }
    let load = Load::StartUp;
    all.push(Measure {
        name: "start-up with a state of a million calls, over none".to_owned(),
        unit: "ms",
        direct: None,
        base: Some(Run { contestant: DURABLE, load }),
        subject: Run { contestant: AGED, load },
        mark: Mark::AtMost(1.1),
    });
    for (tool, what) in [("free", "with audit"), ("twice", "with audit and two durable limits")] {
        let load = Load::CallsPerSecond(256, tool);
        let name = format!("calls/s {what}, 256 in flight");
        let subject = Run { contestant: DURABLE, load };
        all.push(Measure { subject, ..against_pipe(&name, "/s", load, Mark::None) });
    }
    all
}

/// Large values, in both directions and both shapes.
fn bulk() -> Vec<Measure> {
    let mut all = Vec::new();
    for (shape, shape_name) in [(Shape::Text, "one string"), (Shape::Objects, "objects")] {
        for (bytes, size_name) in [(64 << 10, "64 KiB"), (1 << 20, "1 MiB"), (16 << 20, "16 MiB")] {
            let large = Large { shape, bytes };
            let name = |what: &str| format!("{what} of {size_name}, {shape_name}");
            let arguments = Load::Arguments(large);
            all.push(against_pipe(
                &name("results"),
                "MB/s",
                Load::Results(large),
                Mark::AtLeast(0.75),
            ));
            all.push(against_pipe(&name("arguments"), "MB/s", arguments, Mark::AtLeast(0.5)));
            let policy = Policy { others: 0, condition: Some(shape) };
            all.push(Measure {
                name: name("arguments under a condition"),
                subject: Run {
                    contestant: Contestant::Callgate(policy, Books::Memory),
                    load: arguments,
                },
                ..against_pipe("", "MB/s", arguments, Mark::None)
            });
        }
    }
    all
}

/// callgate relative to the byte pipe, under one load.
fn against_pipe(name: &str, unit: &'static str, load: Load, mark: Mark) -> Measure {
    Measure {
        name: name.to_owned(),
        unit,
        direct: Some(Run { contestant: Contestant::Direct, load }),
        base: Some(Run { contestant: Contestant::BytePipe, load }),
        subject: Run { contestant: CALLGATE, load },
        mark,
    }
}
