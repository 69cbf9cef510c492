//! The table of results.

use std::fs;

use crate::measures::{Mark, Measure, Round};

/// The conditions that the figures depend on, and the head of the table.
pub fn head(rounds: usize) {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = cpus.matches("model name").count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{count} × {}; load average {}",
        model.trim_start_matches([' ', '\t', ':']),
        load.trim()
    );
    println!(
        "medians of {rounds} rounds; the ratio is the median of the ratios inside the rounds (least to most)"
    );
    println!();
    println!(
        "{:<58} {:>9} {:>9} {:>9} {:>23} {:>8}",
        "", "direct", "over", "subject", "ratio", "mark"
    );
}

/// Prints one line. False if the measure misses its mark.
pub fn row(measure: &Measure, rounds: &[Round]) -> bool {
    let direct = median(rounds.iter().filter_map(|round| round.direct).collect());
    let base = median(rounds.iter().filter_map(|round| round.base).collect());
    let subject = median(rounds.iter().map(|round| round.subject).collect());
    let mut figures: Vec<f64> = rounds.iter().map(Round::figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let (least, most) = (figures[0], figures[figures.len() - 1]);
    let figure = median(figures).unwrap_or_default();
    let is_met = measure.mark.is_met(figure);
    let (mark, verdict) = match measure.mark {
        Mark::AtMost(most) => (format!("<= {most}"), if is_met { "" } else { "  MISSED" }),
        Mark::AtLeast(least) => (format!(">= {least}"), if is_met { "" } else { "  MISSED" }),
        Mark::None => (String::new(), ""),
    };
    let name = format!("{}, {}", measure.name, measure.unit);
    let (direct, base, subject) = (number(direct), number(base), number(subject));
    let ratio = format!("{figure:.2} ({least:.2} to {most:.2})");
    println!("{name:<58} {direct:>9} {base:>9} {subject:>9} {ratio:>23} {mark:>8}{verdict}");
    is_met
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

fn number(figure: Option<f64>) -> String {
    match figure {
        None => String::new(),
        Some(figure) if figure < 1000.0 => format!("{figure:.2}"),
        Some(figure) => format!("{figure:.0}"),
    }
}
