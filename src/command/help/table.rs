//! Lays out tables of the manual in the available columns.

use super::document::{PageTable, Span, Style, StyledText};
use super::layout::{LaidWord, PageLayout, PageLine};

/// Spaces between columns.
const GAP: usize = 2;

/// Words longer than this may be broken, as paths are.
const LONG: usize = 30;

/// A column that wants more than `PROSE` columns gets at least `LEAST`, or the table becomes a list.
const PROSE: usize = 40;
const LEAST: usize = 18;

/// A column that wants no more than this gets its width first.
const SHORT: usize = 20;

/// Lays out a table. If it is too wide, it becomes a list of its rows.
pub(super) fn lines(table: &PageTable, layout: PageLayout, width: usize) -> Vec<String> {
    let cells = |row: &Vec<StyledText>| row.iter().map(|cell| layout.words(cell)).collect();
    let rows: Vec<Vec<Vec<LaidWord>>> = table.rows.iter().map(cells).collect();
    let titles: Vec<Vec<LaidWord>> = table.head.iter().map(|title| strong(layout, title)).collect();
    let has_titles = titles.iter().any(|title| !title.is_empty());
    let all: Vec<&Vec<Vec<LaidWord>>> = std::iter::once(&titles).chain(&rows).collect();
    let Some(widths) = widths(&all, width) else {
        return listed(&rows, &titles, layout, width);
    };
    let mut lines = Vec::new();
    if has_titles {
        lines.extend(row(&titles, &widths, layout));
        let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        lines.push(rules.join(&" ".repeat(GAP)));
    }
    let rows: Vec<Vec<String>> = rows.iter().map(|cells| row(cells, &widths, layout)).collect();
    // Separate rows by blank lines if one has several lines.
    let is_airy = rows.iter().any(|row| row.len() > 1);
    for (nth, row) in rows.into_iter().enumerate() {
        if nth > 0 && is_airy {
            lines.push(String::new());
        }
        lines.extend(row);
    }
    lines
}

fn strong(layout: PageLayout, title: &[Span]) -> Vec<LaidWord> {
    let bold = |span: &Span| Span {
        style: if span.style == Style::Plain { Style::Strong } else { span.style },
        ..span.clone()
    };
    layout.words(&title.iter().map(bold).collect::<Vec<_>>())
}

/// The width of a cell on one line.
fn natural(words: &[LaidWord]) -> usize {
    let spaces = words.len().saturating_sub(1);
    words.iter().map(|word| word.width).fold(spaces, usize::saturating_add)
}

/// The width that a cell needs: that of its longest word that may not be broken.
fn longest(words: &[LaidWord]) -> usize {
    words.iter().map(|word| word.width.min(LONG)).max().unwrap_or_default()
}

/// The width of each column, or `None` if they do not fit.
fn widths(rows: &[&Vec<Vec<LaidWord>>], width: usize) -> Option<Vec<usize>> {
    let columns = rows.iter().map(|row| row.len()).max().unwrap_or_default();
    let most = |of: fn(&[LaidWord]) -> usize, column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| of(cell)).max().unwrap_or_default()
    };
    let wanted: Vec<usize> = (0..columns).map(|column| most(natural, column)).collect();
    let needed: Vec<usize> = (0..columns)
        .map(|column| {
            let least = if most(natural, column) > PROSE { LEAST } else { 1 };
            most(longest, column).max(least)
        })
        .collect();
    let sum = |widths: &[usize]| widths.iter().copied().fold(0, usize::saturating_add);
    let room = width.saturating_sub(GAP.saturating_mul(columns.saturating_sub(1)));
    if sum(&wanted) <= room {
        return Some(wanted);
    }
    if sum(&needed) > room {
        return None;
    }
    // The narrowest columns get the width they want, as long as the others keep what they need.
    let mut widths = needed;
    let mut order: Vec<usize> = (0..columns).collect();
    order.sort_by_key(|column| wanted.get(*column));
    for (nth, column) in order.iter().enumerate() {
        let left = room.saturating_sub(sum(&widths));
        let share = left.checked_div(columns.saturating_sub(nth)).unwrap_or_default();
        let is_last = nth.saturating_add(1) == columns;
        if let (Some(width), Some(wanted)) = (widths.get_mut(*column), wanted.get(*column)) {
            let more = wanted.saturating_sub(*width);
            let is_short = *wanted <= SHORT;
            *width = width.saturating_add(if is_last || is_short {
                more.min(left)
            } else {
                more.min(share)
            });
        }
    }
    Some(widths)
}

/// The lines of one row.
fn row(cells: &[Vec<LaidWord>], widths: &[usize], layout: PageLayout) -> Vec<String> {
    let cells: Vec<Vec<PageLine>> =
        cells.iter().zip(widths).map(|(cell, width)| layout.wrap(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or_default();
    let line = |nth: usize| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let line = cell.get(nth).cloned().unwrap_or_default();
            text.push_str(&line.text);
            let rest = width.saturating_sub(line.width).saturating_add(GAP);
            text.push_str(&" ".repeat(rest));
        }
        text.trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// Lays out the rows as a list: the first cell, and the others below it. Titles stand before the cells; with two
/// columns, once at the top.
fn listed(
    rows: &[Vec<Vec<LaidWord>>],
    titles: &[Vec<LaidWord>],
    layout: PageLayout,
    width: usize,
) -> Vec<String> {
    let dot = layout.words(&[Span { text: "·".to_owned(), style: Style::Plain }]);
    let is_pair = titles.len() == 2;
    let mut lines: Vec<String> = Vec::new();
    if is_pair && titles.iter().any(|title| !title.is_empty()) {
        let all: Vec<LaidWord> = titles.join(&*dot);
        lines.extend(layout.wrap(&all, width).into_iter().map(|line| line.text));
    }
    for row in rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        for (column, cell) in row.iter().enumerate().filter(|(_, cell)| !cell.is_empty()) {
            let title = titles.get(column).filter(|title| !is_pair && !title.is_empty());
            let words = title.map_or_else(|| cell.clone(), |title| [&**title, cell].join(&*dot));
            let indent = if column == 0 { "" } else { "  " };
            let wrapped = layout.wrap(&words, width.saturating_sub(indent.len()));
            lines.extend(wrapped.into_iter().map(|line| format!("{indent}{}", line.text)));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{PageLayout, lines};
    use crate::command::help::document::{Block, PageDocument};

    fn shown(table: &str, width: usize) -> String {
        let document = PageDocument::read(table);
        let [Block::Table(table)] = &*document.blocks else { panic!("{document:?}") };
        lines(table, PageLayout { columns: width, is_coloured: false }, width).join("\n")
    }

    const TABLE: &str = "| field | meaning |\n|---|---|\n| `a` | short |\n| `bcd` | some words that take much more room than there is |\n";

    #[test]
    fn a_table_takes_the_room_that_there_is() {
        let narrow = "field  meaning\n─────  ─────────────────────\n`a`    short\n\n`bcd`  some words that take\n       much more room than\n       there is";
        assert_eq!(shown(TABLE, 28), narrow);
        let rule = "─".repeat(49);
        let wide = format!(
            "field  meaning\n─────  {rule}\n`a`    short\n`bcd`  some words that take much more room than there is"
        );
        assert_eq!(shown(TABLE, 80), wide);
    }

    #[test]
    fn one_that_does_not_fit_is_a_list() {
        let list = "field · meaning\n\n`a`\n  short\n\n`bcd`\n  some words that take\n  much more room than\n  there is";
        assert_eq!(shown(TABLE, 22), list);
    }

    #[test]
    fn without_titles_there_is_no_rule() {
        assert_eq!(shown("| | |\n|---|---|\n| a | b |\n", 20), "a  b");
    }
}
