//! The patterns of `regex` (contract P7), and what a search with one costs at most.
//!
//! Most patterns become an automaton whose states are all known beforehand: a search looks at each byte once. What
//! is too large for that is searched by the crate `regex`, which keeps to linear time, but by a factor that grows
//! with the pattern: how many places in the pattern may be reached at once.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Input, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind};

use crate::engine::work::{TooCostly, Work, steps};

/// Limits that a pattern is tried with, in bytes; the last is the most that one may take (contract P7).
const SIZES: [usize; 4] = [32 * 1024, 256 * 1024, 1024 * 1024, 8 * 1024 * 1024];

/// The most that an automaton may take, in bytes.
const AUTOMATON_BYTES: usize = 1024 * 1024;

/// Patterns that compile to more than this get no automaton: it would take long to find that it is too large.
const AUTOMATON_FROM_BYTES: usize = 256 * 1024;

/// Steps for one byte in an automaton.
const LIGHT: u64 = 2;

/// Steps for one byte and one place of a pattern that may be reached, where there is no automaton.
const HEAVY: u64 = 8;

/// The same where `regex` builds states on its way, which it does for so many bytes before it gives up.
const BUILDING: u64 = 32;
const BUILDING_BYTES: usize = 64 * 1024;

/// A pattern, compiled.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    /// The automaton, if it is small. It stops at bytes that it was not built for.
    automaton: Option<Arc<dense::DFA<Vec<u32>>>>,
    /// How many places in the pattern may be reached at once, at most.
    width: u64,
}

/// What the patterns of one policy may take together.
#[derive(Debug)]
pub struct PatternAllowance {
    /// Memory in bytes, what was tried in vain included.
    bytes: usize,
    /// Work of building automata, in steps.
    work: Work,
}

impl Default for PatternAllowance {
    fn default() -> Self {
        PatternAllowance { bytes: 256 * 1024 * 1024, work: Work::of(1_000_000_000) }
    }
}

/// Why a text is no pattern of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// It is not written as a pattern: why, for people.
    Syntax(String),
    /// It takes too much memory.
    TooLarge,
    /// The patterns of the policy take too much together.
    TooMany,
}

impl Pattern {
    /// Compiles a pattern, as one of those that share an allowance.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn new(text: &str, allowance: &mut PatternAllowance) -> Result<Self, PatternError> {
        // How much a pattern takes shows only in which limit it fits.
        for size in SIZES {
            allowance.bytes = allowance.bytes.checked_sub(size).ok_or(PatternError::TooMany)?;
            match RegexBuilder::new(text).size_limit(size).build() {
                Ok(regex) => {
                    let hir = regex_syntax::parse(text);
                    let hir = hir.map_err(|error| PatternError::Syntax(error.to_string()))?;
                    let automaton = (size <= AUTOMATON_FROM_BYTES)
                        .then(|| automaton(&hir, allowance))
                        .flatten()
                        .map(Arc::new);
                    return Ok(Pattern { regex, automaton, width: width(&hir).saturating_add(2) });
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(PatternError::Syntax(error.to_string())),
            }
        }
        Err(PatternError::TooLarge)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// True if the pattern is found in `text`.
    ///
    /// # Errors
    /// The search may take more than is left.
    pub fn is_match(&self, text: &str, work: &mut Work) -> Result<bool, TooCostly> {
        if let Some(automaton) = &self.automaton {
            work.take(steps(text.len()).saturating_mul(LIGHT))?;
            if let Ok(found) = automaton.try_search_fwd(&Input::new(text).earliest(true)) {
                return Ok(found.is_some());
            }
        }
        work.take(self.heavy(text.len()))?;
        Ok(self.regex.is_match(text))
    }

    /// How many steps a search in ASCII text of so many bytes takes at most.
    #[must_use]
    pub fn cost(&self, bytes: usize) -> u64 {
        match self.automaton {
            Some(_) => steps(bytes).saturating_mul(LIGHT),
            None => self.heavy(bytes),
        }
    }

    fn heavy(&self, bytes: usize) -> u64 {
        let building = steps(bytes.min(BUILDING_BYTES)).saturating_mul(BUILDING);
        let searching = steps(bytes).saturating_mul(HEAVY);
        building.saturating_add(searching).saturating_mul(self.width)
    }
}

/// The automaton of a pattern, if it is small.
fn automaton(hir: &Hir, allowance: &mut PatternAllowance) -> Option<dense::DFA<Vec<u32>>> {
    let config = thompson::Config::new()
        .utf8(true)
        .nfa_size_limit(Some(AUTOMATON_FROM_BYTES))
        .which_captures(WhichCaptures::None);
    let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
    // A state is built by a look at the set of places that it stands for, once for each class of bytes.
    let classes = nfa.byte_classes().alphabet_len();
    let most = steps(classes.saturating_mul(AUTOMATON_BYTES / 4));
    if allowance.work.left() < most {
        return None;
    }
    let config = dense::Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .start_kind(StartKind::Unanchored)
        .unicode_word_boundary(true)
        .dfa_size_limit(Some(AUTOMATON_BYTES))
        .determinize_size_limit(Some(AUTOMATON_BYTES / 4));
    let built = dense::Builder::new().configure(config).build_from_nfa(&nfa).ok();
    let spent =
        built.as_ref().map_or(most, |automaton| steps(automaton.memory_usage()).saturating_mul(4));
    allowance.work.take(spent.min(most)).ok()?;
    built
}

/// How many places in a pattern may be reached at once, at most. A search looks at each of them for each byte.
fn width(hir: &Hir) -> u64 {
    let sum = |parts: &[Hir]| {
        parts.iter().fold(0_u64, |sum, part| sum.saturating_add(width(part)).saturating_add(1))
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Literal(literal) => steps(literal.0.len()),
        // Each byte of a character is a place of its own.
        HirKind::Class(Class::Unicode(class)) => steps(class.maximum_len().unwrap_or(1)),
        HirKind::Repetition(repetition) => {
            let most = repetition.max.unwrap_or(repetition.min).max(1);
            // What may be left out is a place to choose at.
            let optional = u64::from(most.saturating_sub(repetition.min)).saturating_add(1);
            width(&repetition.sub).saturating_mul(u64::from(most)).saturating_add(optional)
        }
        HirKind::Capture(capture) => width(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => sum(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, PatternAllowance};
    use crate::engine::work::Work;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text, &mut PatternAllowance::default()).expect("a pattern")
    }

    #[test]
    fn what_has_an_automaton_is_told_apart() {
        let light =
            ["", "^a", "a.*b", r"(?i)\b(drop|delete)\b", r"^[\w.-]+@[a-z.]+$", "[0-9]{1,16}"];
        for text in light {
            assert!(pattern(text).automaton.is_some(), "{text}");
        }
        for text in ["[01]*1[01]{40}2", r"(?:\w{30}x){4}"] {
            assert!(pattern(text).automaton.is_none(), "{text}");
        }
    }

    #[test]
    fn an_automaton_and_a_search_agree() {
        let texts =
            ["", "a", "ab", "xaxb", "é drop é", "drop", "dropé", "a\nb", "\u{212A}", "k", "x@y.z"];
        let patterns = [
            "",
            "^a",
            "a.*b",
            r"(?i)\bdrop\b",
            "^$",
            "b$",
            r"(?i)k",
            r"\Bx",
            "[^a]",
            "^.{2}$",
            r"\w@\w",
        ];
        for text in patterns {
            let pattern = pattern(text);
            for searched in texts {
                let found = pattern.is_match(searched, &mut Work::of_decision());
                assert_eq!(found, Ok(pattern.regex.is_match(searched)), "{text} in {searched}");
            }
        }
    }

    #[test]
    fn a_heavy_pattern_takes_more_for_each_byte() {
        let (light, heavy) = (pattern("^a"), pattern("[01]*1[01]{40}2"));
        assert!(heavy.cost(1000) > 100 * light.cost(1000));
        let long = "0".repeat(1024 * 1024);
        assert!(heavy.is_match(&long, &mut Work::of_decision()).is_err());
        assert_eq!(light.is_match(&long, &mut Work::of_decision()), Ok(false));
    }

    #[test]
    fn patterns_share_an_allowance() {
        let mut allowance = PatternAllowance { bytes: 100_000, work: Work::of(0) };
        assert!(Pattern::new("a", &mut allowance).is_ok_and(|pattern| pattern.automaton.is_none()));
        assert!(Pattern::new("b", &mut allowance).is_ok());
        assert!(Pattern::new("c", &mut allowance).is_ok());
        assert!(Pattern::new("d", &mut allowance).is_err());
    }
}
