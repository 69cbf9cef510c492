//! `callgate help` shows every page in terminals of any width, in a pager, as Markdown and as man pages.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use callgate::command::help::document::PageDocument;
use callgate::command::help::layout::PageLayout;
use callgate::command::help::{man, shown};
use callgate::manual;
use regex::Regex;
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthStr as _;

use crate::harness::gate::{callgate, shell, temp_dir};
use crate::harness::process::{End, Process};
use crate::harness::streams::Streams;

use super::page::Page;

const WIDTHS: [u16; 3] = [60, 80, 200];

/// The largest width of text.
const WIDEST: u16 = 100;

fn layout(columns: u16, is_coloured: bool) -> PageLayout {
    PageLayout { columns: columns.min(WIDEST).into(), is_coloured }
}

/// The page of a topic, or the list of pages.
fn text_of(topic: Option<&str>, layout: PageLayout) -> String {
    shown(topic.map(|topic| manual::page(topic).unwrap()), layout)
}

fn without_escapes(text: &str) -> String {
    Regex::new("\x1b\\[[0-9;]*m").unwrap().replace_all(text, "").into_owned()
}

/// All topics, and `None` for the list of pages.
fn topics() -> impl Iterator<Item = Option<&'static str>> {
    std::iter::once(None).chain(manual::pages().map(|page| Some(page.topic)))
}

/// No line except code is wider than the terminal, and colour adds nothing but colour codes.
#[test]
fn pages_fit_their_terminal() {
    for topic in topics() {
        let page = topic.map(Page::topic);
        let code: Vec<&str> =
            page.iter().flat_map(|page| page.text().split("```").skip(1).step_by(2)).collect();
        let code: BTreeSet<&str> =
            code.iter().flat_map(|block| block.lines()).map(str::trim).collect();
        for columns in WIDTHS.into_iter().chain([40, 61, 72, 99]) {
            let plain = text_of(topic, layout(columns, false));
            let width = usize::from(columns.min(WIDEST));
            let wide = plain.lines().filter(|line| line.width() > width);
            let wrong: Vec<&str> = wide.filter(|line| !code.contains(line.trim())).collect();
            assert!(wrong.is_empty(), "{topic:?} in {columns} columns: {wrong:#?}");
            assert!(
                plain.lines().all(|line| line.trim_end() == line),
                "{topic:?}: blanks at an end"
            );
            assert!(!plain.contains("\n\n\n"), "{topic:?}: two empty lines");
            let coloured = without_escapes(&text_of(topic, layout(columns, true)));
            assert!(
                coloured.lines().all(|line| line.width() <= width || code.contains(line.trim())),
                "{topic:?}"
            );
        }
    }
}

/// The whole page is shown at any width.
#[test]
fn pages_are_shown_whole() {
    let word = Regex::new(r"\w{2,}").unwrap();
    // Links are shown by their texts, and blocks without their kind.
    let link = Regex::new(r"\]\([^)]*\)").unwrap();
    let fence = Regex::new("```[^\n]*\n").unwrap();
    for page in manual::pages() {
        let source = fence.replace_all(page.text, "");
        let source = link.replace_all(&source, "").to_lowercase();
        for columns in WIDTHS {
            let plain = text_of(Some(page.topic), layout(columns, false)).to_lowercase();
            let there: BTreeSet<&str> = word.find_iter(&plain).map(|word| word.as_str()).collect();
            let lost: BTreeSet<&str> = word
                .find_iter(&source)
                .map(|word| word.as_str())
                .filter(|word| !there.contains(word))
                .collect();
            assert!(lost.is_empty(), "{} in {columns} columns: {lost:?}", page.topic);
        }
    }
}

/// At 80 columns, every table keeps its columns, unless its words leave no room.
#[test]
fn tables_keep_their_columns_in_a_common_terminal() {
    let mut tables = 0;
    for page in manual::pages() {
        let plain = text_of(Some(page.topic), layout(80, false));
        let titled = page.text.matches("\n|---").count() - page.text.matches("\n| | |\n").count();
        let ruled = plain.lines().filter(|line| line.trim_start().starts_with('─')).count();
        assert!(titled == ruled, "{}: {ruled} of {titled}", page.topic);
        tables += ruled;
    }
    assert!(tables >= 30, "only {tables} tables");
}

/// Runs `callgate help` in a terminal with this many columns.
#[cfg(target_os = "linux")]
fn in_terminal(columns: u16, command: &mut Command) -> End {
    let streams = Streams::terminal();
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&streams.shared()[1], size).unwrap();
    Process::spawn_on(command, streams, Stdio::piped()).wait()
}

fn help(topic: Option<&str>) -> Command {
    let dir = temp_dir();
    let mut command = callgate(dir.path());
    command.arg("help").args(topic).env("TERM", "xterm").env("NO_COLOR", "");
    command.env("PAGER", "cat").env_remove("LESS");
    command
}

/// Terminals of each width, with and without colour.
#[cfg(target_os = "linux")]
#[test]
fn every_topic_is_shown_in_a_terminal() {
    for topic in topics() {
        for columns in WIDTHS {
            for is_coloured in [true, false] {
                let mut command = help(topic);
                command.env("NO_COLOR", if is_coloured { "" } else { "1" });
                let end = in_terminal(columns, &mut command);
                let stdout = text_of(topic, layout(columns, is_coloured));
                assert_eq!(stdout.contains('\x1b'), is_coloured);
                assert_eq!(end, End { stdout, ..End::quiet(0) }, "{topic:?}");
            }
        }
    }
}

/// A pipe gets 80 columns, without colour or a pager.
#[test]
fn a_pipe_gets_plain_text() {
    for topic in topics() {
        let mut command = help(topic);
        let end = Process::spawn(command.env("PAGER", "echo paged")).end();
        assert_eq!(end, End { stdout: text_of(topic, layout(80, false)), ..End::quiet(0) });
    }
}

/// On a terminal, the page goes through `PAGER`, which may be a command with options, or else through `less`.
#[cfg(target_os = "linux")]
#[test]
fn a_terminal_gets_a_pager() {
    let page = text_of(Some("shadow"), layout(80, true));
    for (pager, stdout) in [
        ("sed 's/^/> /'", Regex::new("(?m)^").unwrap().replace_all(page.trim_end(), "> ") + "\n"),
        ("head -n 1", page.lines().next().unwrap().to_owned().into()),
        ("cat >&2; echo \"$LESS\"", "FRX\n".into()),
    ] {
        let end = in_terminal(80, help(Some("shadow")).env("PAGER", pager));
        assert_eq!((end.code, end.stdout.trim_end()), (Some(0), stdout.trim_end()), "{pager}");
    }
    let dir = temp_dir();
    let less = dir.path().join("less");
    std::fs::write(&less, "#!/bin/sh\necho \"less $*\"\ncat >/dev/null\n").unwrap();
    std::fs::set_permissions(&less, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = help(Some("shadow"));
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(dir.path().to_owned()).chain(std::env::split_paths(&others));
    command.env("PATH", std::env::join_paths(path).unwrap()).env_remove("PAGER");
    assert_eq!(in_terminal(80, &mut command).stdout, "less -FRX\n");
}

/// A missing or disabled pager is not an error: the page is printed.
#[cfg(target_os = "linux")]
#[test]
fn a_missing_pager_is_no_error() {
    let stdout = text_of(Some("shadow"), layout(80, true));
    for pager in ["", "cat", "/no/such/pager -R"] {
        let End { code, stdout: printed, .. } =
            in_terminal(80, help(Some("shadow")).env("PAGER", pager));
        assert_eq!((code, printed), (Some(0), stdout.clone()), "{pager}");
    }
    let mut command = help(Some("shadow"));
    command.env_remove("PAGER").env("PATH", "/nowhere");
    assert_eq!(in_terminal(80, &mut command), End { stdout, ..End::quiet(0) });
}

/// contract C1: a reader that closes early is not an error, in any format.
#[test]
fn a_closed_stdout_ends_it_quietly() {
    for format in ["text", "markdown", "man"] {
        let script = format!("(callgate help contract --format {format}; echo $? >&2) | true");
        let dir = temp_dir();
        let end = Process::spawn(&mut shell(dir.path(), &script)).end();
        assert_eq!(end.stderr, "0\n", "{format}");
    }
}

/// `--format markdown` prints the page unchanged.
#[test]
fn markdown_is_the_page_itself() {
    for page in manual::pages() {
        let end = Process::spawn(help(Some(page.topic)).args(["--format", "markdown"])).end();
        assert_eq!(end, End { stdout: page.text.to_owned(), ..End::quiet(0) });
    }
    let list = Process::spawn(help(None).args(["--format", "markdown"])).end().stdout;
    assert!(manual::pages().all(|page| list.contains(&format!("| {} | ", page.topic))), "{list}");
}

/// If groff is installed, it reports nothing about any page, on paper or in a terminal.
#[test]
fn groff_accepts_man_pages_without_warnings() {
    if Command::new("groff").arg("--version").output().is_err() {
        return;
    }
    let dir = temp_dir();
    for page in manual::pages() {
        let file = dir.path().join(page.topic);
        fs::write(&file, man::page(page)).unwrap();
        for device in ["-Tps", "-Tutf8"] {
            let mut groff = Command::new("groff");
            groff.args(["-t", "-man", "-ww", "-z", device]).arg(&file);
            let end = Process::spawn(&mut groff).end();
            assert_eq!(end, End::quiet(0), "{} {device}", page.topic);
        }
    }
}

/// Man pages have a title and a name, and use only requests of man(7) and tbl(1); each table row has as many cells as
/// the table has columns.
#[test]
fn man_pages_are_sound() {
    let known = [
        "TH", "SH", "SS", "PP", "IP", "RS", "RE", "EX", "EE", "BR", "TS", "TE", "nh", "ad", "fchar",
    ];
    for page in manual::pages() {
        let roff = man::page(page);
        assert!(roff.starts_with("'\\\" t\n.TH CALLGATE"), "{}", page.topic);
        for line in roff.lines().skip(1) {
            let request = line.strip_prefix('.').map(|rest| rest.split(' ').next().unwrap());
            assert!(
                request.is_none_or(|request| known.contains(&request)),
                "{}: {line}",
                page.topic
            );
            assert!(!line.starts_with('\''), "{}: {line}", page.topic);
        }
        for (open, close) in [(".RS", ".RE"), (".EX", ".EE"), (".TS", ".TE"), ("T{", "T}")] {
            let count = |mark: &str| {
                roff.lines()
                    .filter(|line| line.split('\x01').any(|cell| cell.starts_with(mark)))
                    .count()
            };
            assert_eq!(count(open) > 0, count(close) > 0, "{}: {open}", page.topic);
        }
        let titles = PageDocument::read(page.text).blocks.len();
        assert!(titles > 1, "{}", page.topic);
    }
    let end = Process::spawn(help(Some("wrap")).args(["--format", "man"])).end();
    assert_eq!(end.stdout, man::page(manual::page("wrap").unwrap()));
    let program = Process::spawn(help(None).args(["--format", "man"])).end().stdout;
    assert!(
        program.contains(".TH CALLGATE 1 ") && program.contains("\ncallgate \\- "),
        "{program}"
    );
}
