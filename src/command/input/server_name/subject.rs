//! Finds what a command really runs: follows runners, their options and wrappers until something has a name.

use std::path::Path;

use super::package::{self, Package};
use super::runner::{DIRECTORY, LINE, PACKAGED, Runner, RunnerKind, is_one_of, runner};
use super::words::{Options, is_assignment, simple_command};
use super::{absolute, is_path, stem, words_of_path};

/// How many runners deep to look.
const DEEPEST: usize = 12;

/// The thing that gives a server its name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    /// The words of its name.
    pub(super) words: Vec<String>,
    /// What the words leave out. Six digits of its SHA-256 end the name.
    pub(super) identity: Option<String>,
    /// True if the words leave something out.
    pub(super) is_lossy: bool,
    /// True if it depends on paths of this machine.
    pub(super) is_local: bool,
}

/// Where a command runs.
#[derive(Debug, Clone)]
pub(super) struct Base {
    directory: String,
    /// True on another machine or in a container: its paths are not ours.
    pub(super) is_elsewhere: bool,
    /// True if commands belong to the project in the directory.
    pub(super) is_project: bool,
    depth: usize,
}

impl Base {
    /// A directory of this machine.
    pub(super) fn local(directory: &str) -> Self {
        Base { directory: directory.to_owned(), is_elsewhere: false, is_project: false, depth: 0 }
    }

    pub(super) fn elsewhere(&self) -> Self {
        Base {
            directory: "/~".to_owned(),
            is_elsewhere: true,
            is_project: false,
            depth: self.depth,
        }
    }

    /// The directory that the options name, or else this one.
    pub(super) fn moved(&self, options: &Options<'_>, names: &[&str]) -> Self {
        let mut base = self.clone();
        if let Some(directory) = options.value(names) {
            base.directory = self.path(directory);
        }
        base
    }

    pub(super) fn of_project(mut self) -> Self {
        self.is_project = true;
        self
    }

    pub(super) fn path(&self, path: &str) -> String {
        absolute(Path::new(&self.directory), path)
    }

    /// A file or directory, and the part of it that runs.
    pub(super) fn file(&self, path: &str, part: Option<&str>) -> Subject {
        let path = self.path(path);
        let mut words = words_of_path(&path);
        words.extend(part.map(str::to_owned));
        let identity = match part {
            Some(part) => format!("{path}\0{part}"),
            None => path,
        };
        Subject { words, identity: Some(identity), is_lossy: false, is_local: !self.is_elsewhere }
    }

    /// A text, which may name files, when there is no other name.
    fn text(&self, program: &str, text: &str) -> Subject {
        let words = vec![stem(program_name(program)).to_owned()];
        let identity = format!("{}\0{text}", self.directory);
        Subject { words, identity: Some(identity), is_lossy: false, is_local: !self.is_elsewhere }
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        !self.is_elsewhere && Path::new(&self.path(path)).exists()
    }
}

/// The subject of a command.
pub(super) fn of(words: &[&str], base: &Base) -> Subject {
    let words: &[&str] = match words.iter().position(|word| !is_assignment(word)) {
        Some(first) => words.get(first..).unwrap_or_default(),
        None => words,
    };
    let Some((program, arguments)) = words.split_first() else { return Subject::default() };
    let base = Base { depth: base.depth.saturating_add(1), ..base.clone() };
    if base.depth > DEEPEST {
        return base.text(program, &words.join("\0"));
    }
    match runner(program_name(program)) {
        Some(runner) => Call { program, runner, arguments, base: &base }.subject(),
        None if is_path(program) => base.file(program, None),
        None if base.is_project && is_script(program) => base.file(program, None),
        None if base.is_project => base.file(".", Some(program)),
        None => named(vec![stem(program).to_owned()]),
    }
}

pub(super) fn named(words: Vec<String>) -> Subject {
    Subject { words, ..Subject::default() }
}

pub(super) fn program_name(program: &str) -> &str {
    program.rsplit(['/', '\\']).next().unwrap_or(program)
}

/// True for the name of a file that an interpreter reads.
pub(super) fn is_script(word: &str) -> bool {
    is_path(word) || stem(word).len() < word.len()
}

/// A package, or a path to one.
pub(super) fn of_package(spec: &str, base: &Base) -> Subject {
    match package::package(spec) {
        Package::Named(words) => named(words),
        Package::Local(path) => base.file(path, None),
    }
}

/// The server at a URL: its host, a non-default port, and the path. The rest of a URL may be secret, and changes.
pub(super) fn of_url(url: &str) -> Subject {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let usual = if matches!(scheme, "http" | "ws") { ":80" } else { ":443" };
    let host = host.strip_suffix(usual).unwrap_or(&host);
    let parts: Vec<&str> =
        host.split(':').chain(path.split('/')).filter(|part| !part.is_empty()).collect();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let is_lossy = !parts.iter().all(|part| part.chars().all(is_plain));
    let identity = is_lossy.then(|| parts.join("/"));
    Subject { words: vec![parts.join("_")], identity, is_lossy, is_local: false }
}

pub(super) fn is_url(word: &str) -> bool {
    ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| word.starts_with(scheme))
}

/// A command of a package. The package's name goes before its own, unless they are the same.
fn of_spec(spec: Option<&str>, inner: Subject, base: &Base) -> Subject {
    let Some(spec) = spec else { return inner };
    match package::package(spec) {
        Package::Local(path) => base.file(path, Some(&inner.words.join("-"))),
        Package::Named(words) if inner.identity.is_none() && inner.words.last() == words.last() => {
            named(words)
        }
        Package::Named(words) => Subject { words: [words, inner.words.clone()].concat(), ..inner },
    }
}

/// A command that runs elsewhere: the place goes before its name. `key` identifies the place exactly; `mounts` lists
/// the paths of this machine that are visible there.
pub(super) fn inside(words: Vec<String>, key: &str, inner: Subject, mounts: &str) -> Subject {
    let words = words.into_iter().chain(inner.words).collect();
    let identity = inner.identity.map(|identity| [key, mounts, &identity].join("\0"));
    let is_local = identity.is_some() && !mounts.is_empty();
    Subject { words, identity, is_lossy: inner.is_lossy, is_local }
}

/// A call of a runner.
pub(super) struct Call<'a> {
    pub(super) program: &'a str,
    pub(super) runner: &'static Runner,
    pub(super) arguments: &'a [&'a str],
    pub(super) base: &'a Base,
}

impl Call<'_> {
    fn subject(&self) -> Subject {
        let options = Options::of(self.arguments, self.runner.valued);
        match self.runner.kind {
            RunnerKind::Command(own) => {
                self.wrapped(&options, options.rest.get(own..).unwrap_or_default())
            }
            RunnerKind::CommandBehind(verbs) => self.behind(&options, verbs, self.base),
            RunnerKind::Project(verbs) => {
                let base = self.base.moved(&options, &DIRECTORY).of_project();
                self.behind(&options, verbs, &base)
            }
            RunnerKind::Shell => self.shell(&options),
            RunnerKind::Cmd => self.cmd(),
            RunnerKind::PowerShell => self.power_shell(&options),
            RunnerKind::Script(verbs) => self.script(&options, verbs),
            RunnerKind::McpTool => self.mcp_tool(&options),
            RunnerKind::Package => self.package(&options),
            RunnerKind::PackageOrTask(verbs) => self.package_or_task(&options, verbs),
            RunnerKind::PackageBehind(verbs) => match options.rest.split_first() {
                Some((verb, rest)) if verbs.contains(verb) => {
                    self.package(&Options::of(rest, self.runner.valued))
                }
                _ => self.unknown(),
            },
            RunnerKind::Task => self.task(&options, options.rest.first().copied()),
            RunnerKind::Bridge => self.bridge(&options),
            RunnerKind::Python => self.python(&options),
            RunnerKind::Java => self.java(&options),
            RunnerKind::Dotnet => self.dotnet(&options),
            RunnerKind::Go => self.go(&options),
            RunnerKind::Cargo => self.cargo(&options),
            RunnerKind::Uv => self.uv(&options),
            RunnerKind::Deno => self.deno(&options),
            RunnerKind::Docker => self.docker(&options),
            RunnerKind::Remote => self.remote(&options),
            RunnerKind::Kubernetes => self.kubernetes(&options),
        }
    }

    /// The subject of a runner whose command is not understood.
    pub(super) fn unknown(&self) -> Subject {
        if self.arguments.is_empty() {
            return Subject::default();
        }
        self.base.text(self.program, &self.arguments.join("\0"))
    }

    /// A command line inside a text.
    pub(super) fn line(&self, text: &str, base: &Base) -> Subject {
        match simple_command(text) {
            Some(words) => of(&words.iter().map(String::as_str).collect::<Vec<_>>(), base),
            None => base.text(self.program, text),
        }
    }

    fn wrapped(&self, options: &Options<'_>, command: &[&str]) -> Subject {
        let base = self.base.moved(options, &DIRECTORY);
        if let Some(text) = options.value(&["-S", "--split-string"]) {
            return self.line(&[text, &command.join(" ")].join(" "), &base);
        }
        // `env A=b -u C COMMAND`
        let behind = command.iter().position(|word| !is_assignment(word)).unwrap_or(command.len());
        match command.get(behind..).unwrap_or_default() {
            [] => self.unknown(),
            rest @ [word, ..] if behind > 0 && word.starts_with('-') => {
                let options = Options::of(rest, self.runner.valued);
                self.wrapped(&options, options.rest)
            }
            rest => of(rest, &base),
        }
    }

    /// `mise exec node@22 -- COMMAND`, `doppler run COMMAND`, `conda run -n NAME COMMAND` …
    fn behind(&self, options: &Options<'_>, verbs: &[&str], base: &Base) -> Subject {
        let Some((verb, rest)) = options.rest.split_first() else {
            return options
                .value(&LINE)
                .map_or_else(|| self.unknown(), |text| self.line(text, base));
        };
        if !verbs.contains(verb) {
            return self.task(options, Some(verb));
        }
        let inner = Options::of(rest, self.runner.valued);
        let base = base.moved(&inner, &["--cwd", "-C", "--cd", "--directory"]);
        if let Some(text) = inner.value(&["--command", "--run"]) {
            return self.line(text, &base);
        }
        let command = match rest.iter().position(|word| *word == "--") {
            Some(end) => rest.get(end.saturating_add(1)..).unwrap_or_default(),
            // The verbs of these runners take one word of their own.
            None if is_one_of("chamber", self.runner.names) && *verb == "exec" => {
                inner.rest.get(1..).unwrap_or_default()
            }
            None => inner.rest,
        };
        if command.is_empty() { self.unknown() } else { of(command, &base) }
    }

    fn shell(&self, options: &Options<'_>) -> Subject {
        let is_line = |option: &str| !option.starts_with("--") && option.contains('c');
        match (options.given.iter().any(|(option, _)| is_line(option)), options.rest.first()) {
            (true, Some(text)) => self.line(text, self.base),
            (false, Some(script)) => self.base.file(script, None),
            (_, None) => self.unknown(),
        }
    }

    /// `cmd /d /s /c npx -y PACKAGE`, as one word or many.
    fn cmd(&self) -> Subject {
        let is_flag = |word: &&&str| word.starts_with('/') && word.len() <= 3;
        let flags = self.arguments.iter().take_while(is_flag).count();
        match self.arguments.get(flags..).unwrap_or_default() {
            [] => self.unknown(),
            [text] => self.line(text, self.base),
            words => of(words, self.base),
        }
    }

    fn power_shell(&self, options: &Options<'_>) -> Subject {
        let base = self.base.moved(options, &["-WorkingDirectory", "-wd"]);
        if let Some(file) = options.value(&["-File", "-f"]) {
            return base.file(file, None);
        }
        if let Some(text) = options.value(&["-Command", "-c"]) {
            let text = [&[text], options.rest].concat().join(" ");
            return self.line(text.trim_start_matches(['&', ' ']), &base);
        }
        options.rest.first().map_or_else(|| self.unknown(), |script| base.file(script, None))
    }

    /// `npx -y PACKAGE`, `npx -p PACKAGE COMMAND`, `pipx run --spec PACKAGE COMMAND`.
    pub(super) fn package(&self, options: &Options<'_>) -> Subject {
        let base = self.base.moved(options, &["--prefix", "-C", "--dir", "--cwd"]);
        let spec = options.value(match self.runner.kind {
            RunnerKind::Uv => &["--from"],
            RunnerKind::PackageBehind(_) => &["--spec"],
            _ => &["-p", "--package"],
        });
        if let Some(text) =
            options.value(&["-c", "--call"]).filter(|_| self.runner.kind == RunnerKind::Package)
        {
            return of_spec(spec, self.line(text, &base), &base);
        }
        let Some((command, arguments)) = options.rest.split_first() else {
            return spec.map_or_else(|| self.unknown(), |spec| of_package(spec, &base));
        };
        // Some packages are runners themselves.
        let words = match package::package(command) {
            Package::Named(words) => words,
            Package::Local(path) => return of_spec(spec, base.file(path, None), &base),
        };
        let bare = command.rsplit_once('@').filter(|(name, _)| !name.is_empty());
        let bare = bare.map_or(*command, |(name, _)| name);
        let bare = bare.split(['[', '=']).next().unwrap_or(bare);
        let program = if bare.starts_with("@smithery/") { "smithery" } else { bare };
        if !arguments.is_empty() && (is_one_of(bare, PACKAGED) || program != bare) {
            return of(&[&[program], arguments].concat(), &base);
        }
        of_spec(spec, named(words), &base)
    }

    fn package_or_task(&self, options: &Options<'_>, verbs: &[&str]) -> Subject {
        let Some((verb, rest)) = options.rest.split_first() else { return self.unknown() };
        if verbs.contains(verb) {
            let mut inner = Options::of(rest, self.runner.valued);
            inner.given.splice(0..0, options.given.iter().copied());
            return self.package(&inner);
        }
        let base = self.base.moved(options, &DIRECTORY);
        let is_run = matches!(*verb, "run" | "run-script" | "exec");
        let inner = Options::of(if is_run { rest } else { options.rest }, self.runner.valued);
        let base = base.moved(&inner, &DIRECTORY);
        match inner.rest.split_first() {
            Some((script, _)) if is_script(script) => base.file(script, None),
            Some((program, _)) if runner(program).is_some() && *verb == "exec" => {
                of(inner.rest, &base.of_project())
            }
            Some((task, _)) => base.file(".", Some(task)),
            None => self.unknown(),
        }
    }

    /// A task of the project in the directory, or in that of the given file.
    pub(super) fn task(&self, options: &Options<'_>, task: Option<&str>) -> Subject {
        let base = self.base.moved(options, &DIRECTORY);
        let file = options.value(&["-f", "--file", "--justfile", "--manifest-path"]);
        let part = [program_name(self.program), task.unwrap_or_default()];
        let part = part.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
        base.file(file.unwrap_or("."), Some(&part))
    }

    fn bridge(&self, options: &Options<'_>) -> Subject {
        if let Some(text) = options.value(&["--stdio"]) {
            return self.line(text, &self.base.moved(options, &["--cwd"]));
        }
        let urls = self.arguments.iter().map(|word| match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => value,
            _ => *word,
        });
        if let Some(url) = urls.into_iter().find(|word| is_url(word)) {
            return of_url(url);
        }
        match options.rest {
            [] => named(vec![stem(program_name(self.program)).to_owned()]),
            command => of(command, &self.base.moved(options, &["--cwd"])),
        }
    }
}
