//! Reads the command lines of interpreters, build tools and containers, each of which names a server in its own way.

use super::package;
use super::runner::{DOCKER, RUNTIMES, is_one_of, runner};
use super::subject::{
    Call, Subject, inside, is_script, is_url, named, of, of_package, of_url, program_name,
};
use super::words::Options;
use super::{VAGUE, is_path, stem};

impl Call<'_> {
    /// The first of these options, with its value: what follows it belongs to the program.
    fn first<'o>(options: &Options<'o>, names: &[&str]) -> Option<(&'o str, &'o str)> {
        options.given.iter().copied().find(|(option, _)| names.contains(option))
    }

    pub(super) fn script(&self, options: &Options<'_>, verbs: &[&str]) -> Subject {
        let rest = match options.rest.split_first() {
            Some((verb, rest)) if verbs.contains(verb) => rest,
            _ => options.rest,
        };
        let is_text = match program_name(self.program) {
            "node" | "nodejs" | "electron" => options.has(&["-e", "--eval", "-p", "--print"]),
            "php" => options.has(&["-r"]),
            _ => options.has(&["-e", "--eval", "-E"]),
        };
        match Options::of(rest, self.runner.valued).rest.first() {
            _ if is_text => self.unknown(),
            Some(url) if is_url(url) => of_url(url),
            Some(&"-") | None => self.unknown(),
            Some(script) => self.base.file(script, None),
        }
    }

    /// `mcp run server.py:app`, `fastmcp run https://…`
    pub(super) fn mcp_tool(&self, options: &Options<'_>) -> Subject {
        let Some((&("run" | "dev"), rest)) = options.rest.split_first() else {
            return self.unknown();
        };
        match Options::of(rest, self.runner.valued).rest.first() {
            Some(url) if is_url(url) => of_url(url),
            Some(script) => {
                let file = script.rsplit_once(':').map_or(*script, |(file, _)| file);
                self.base.file(if is_script(file) { file } else { script }, None)
            }
            None => self.unknown(),
        }
    }

    pub(super) fn python(&self, options: &Options<'_>) -> Subject {
        match (Self::first(options, &["-m", "-c"]), options.rest.first()) {
            (Some(("-m", module)), _) => {
                let place = self.arguments.iter().position(|word| word.starts_with("-m"));
                let behind = place.map(|at| at.saturating_add(2)).unwrap_or_default();
                self.module(module, self.arguments.get(behind..).unwrap_or_default())
            }
            (Some(_), _) | (None, Some(&"-") | None) => self.unknown(),
            (None, Some(script)) => self.base.file(script, None),
        }
    }

    /// A module. One in the working directory is a file; any other counts as a package.
    fn module(&self, module: &str, arguments: &[&str]) -> Subject {
        if runner(module).is_some() {
            return of(&[&[module], arguments].concat(), self.base);
        }
        let path = module.replace('.', "/");
        let is_vague = VAGUE.contains(&module.rsplit('.').next().unwrap_or_default());
        let is_here = || self.base.exists(&path) || self.base.exists(&format!("{path}.py"));
        if self.base.is_project || is_vague || is_here() {
            return self.base.file(&path, None);
        }
        named(vec![module.to_owned()])
    }

    pub(super) fn java(&self, options: &Options<'_>) -> Subject {
        if let Some((_, jar)) = Self::first(options, &["-jar"]) {
            return self.base.file(jar, None);
        }
        let paths = ["-cp", "-classpath", "--class-path", "-p", "--module-path"];
        let module = Self::first(options, &["-m", "--module"]).map(|(_, module)| module);
        match module.or(options.rest.first().copied()) {
            Some(source) if stem(source).len() < source.len() => self.base.file(source, None),
            Some(class) => {
                let path = options.value(&paths).unwrap_or(".");
                self.base.file(path.split(':').next().unwrap_or(path), Some(class))
            }
            None => self.unknown(),
        }
    }

    pub(super) fn dotnet(&self, options: &Options<'_>) -> Subject {
        let Some((verb, rest)) = options.rest.split_first() else { return self.unknown() };
        let inner = Options::of(rest, self.runner.valued);
        match (*verb, inner.rest) {
            ("run", _) => {
                if let Some(file) = inner.value(&["--file"]) {
                    return self.base.file(file, None);
                }
                let project = inner.value(&["--project", "-p"]).unwrap_or(".");
                // A project's file and its directory count as one.
                let is_file = project.ends_with("proj");
                let directory =
                    if is_file { [project, "/.."].concat() } else { project.to_owned() };
                self.base.file(&directory, None)
            }
            ("exec", [file, ..]) => self.base.file(file, None),
            ("tool", ["run" | "exec", tool, ..]) | ("x", [tool, ..]) => of_package(tool, self.base),
            (file, _) if is_path(file) || stem(file).len() < file.len() => {
                self.base.file(file, None)
            }
            _ => self.unknown(),
        }
    }

    pub(super) fn go(&self, options: &Options<'_>) -> Subject {
        let Some((verb, rest)) = options.rest.split_first() else { return self.unknown() };
        let inner = Options::of(rest, self.runner.valued);
        let base = self.base.moved(options, &["-C"]).moved(&inner, &["-C"]);
        match (*verb, inner.rest.first()) {
            ("run", Some(target)) => {
                let host = target.split('/').next().unwrap_or_default();
                let is_module =
                    host.contains('.') && !target.starts_with('.') && stem(target) == *target;
                if is_module { named(package::go_module(target)) } else { base.file(target, None) }
            }
            ("tool", Some(tool)) => base.file(".", Some(tool)),
            _ => self.unknown(),
        }
    }

    pub(super) fn cargo(&self, options: &Options<'_>) -> Subject {
        let toolchain = options.rest.first().is_some_and(|word| word.starts_with('+'));
        let again = Options::of(
            options.rest.get(usize::from(toolchain)..).unwrap_or_default(),
            self.runner.valued,
        );
        let Some((&("run" | "r"), rest)) = again.rest.split_first() else {
            return self.task(options, again.rest.first().copied());
        };
        let mut inner = Options::of(rest, self.runner.valued);
        inner.given.splice(0..0, options.given.iter().chain(&again.given).copied());
        let base = self.base.moved(&inner, &["-C"]);
        let part =
            inner.value(&["--bin", "--example"]).or_else(|| inner.value(&["-p", "--package"]));
        let directory =
            inner.value(&["--manifest-path"]).map(|manifest| [manifest, "/.."].concat());
        base.file(directory.as_deref().unwrap_or("."), part)
    }

    pub(super) fn uv(&self, options: &Options<'_>) -> Subject {
        if program_name(self.program).starts_with("uvx") {
            return self.package(options);
        }
        let (verb, rest) = match options.rest {
            ["tool", "run", rest @ ..] => ("tool", rest),
            ["run", rest @ ..] => ("run", rest),
            _ => return self.unknown(),
        };
        let mut inner = Options::of(rest, self.runner.valued);
        inner.given.splice(0..0, options.given.iter().copied());
        let base = self.base.moved(&inner, &["--directory"]);
        if verb == "tool" {
            return Call { base: &base, ..*self }.package(&inner);
        }
        let project = base.moved(&inner, &["--project"]).of_project();
        if let Some(module) = inner.value(&["-m", "--module"]) {
            return project.file(&module.replace('.', "/"), None);
        }
        let Some(command) = inner.rest.first() else { return self.unknown() };
        if runner(program_name(command)).is_some() || is_script(command) {
            return of(inner.rest, &base.of_project());
        }
        let with = inner.given.iter().filter(|(option, _)| *option == "--with");
        let packages = with.map(|(_, package)| of_package(package, &base));
        let same = |package: &Subject| package.words.last().is_some_and(|last| last == command);
        packages.into_iter().find(same).unwrap_or_else(|| project.file(".", Some(command)))
    }

    pub(super) fn deno(&self, options: &Options<'_>) -> Subject {
        let (verb, rest) = match options.rest.split_first() {
            Some((verb @ &("run" | "serve" | "x"), rest)) => (*verb, rest),
            Some((&"task", rest)) => {
                let inner = Options::of(rest, self.runner.valued);
                return self.task(&inner, inner.rest.first().copied());
            }
            _ => ("run", options.rest),
        };
        match Options::of(rest, self.runner.valued).rest.first() {
            Some(package)
                if verb == "x" || package.starts_with("npm:") || package.starts_with("jsr:") =>
            {
                of_package(package, self.base)
            }
            Some(url) if is_url(url) => of_url(url),
            Some(script) => self.base.file(script, None),
            None => self.unknown(),
        }
    }

    pub(super) fn docker(&self, options: &Options<'_>) -> Subject {
        let words = match options.rest {
            ["container", words @ ..] | words => words,
        };
        let Some((verb, rest)) = words.split_first() else { return self.unknown() };
        let inner = Options::of(rest, DOCKER);
        match (*verb, inner.rest) {
            ("run" | "create", [image, command @ ..]) => self.container(image, command, &inner),
            ("exec", [container, command @ ..]) => {
                let inner = of(command, &self.base.elsewhere());
                inside(vec![(*container).to_owned()], container, inner, "")
            }
            ("start", [.., container]) => named(vec![(*container).to_owned()]),
            ("compose", [_, rest @ ..]) => {
                let file = inner.value(&["-f", "--file", "--project-directory"]).unwrap_or(".");
                let service = Options::of(rest, DOCKER).rest.first().copied();
                self.base.file(file, service)
            }
            ("mcp", _) => named(vec!["docker-mcp".to_owned()]),
            _ => self.unknown(),
        }
    }

    /// `docker run [OPTIONS] IMAGE [COMMAND]`. A general-purpose image gives no name; its command does.
    fn container(&self, image: &str, command: &[&str], options: &Options<'_>) -> Subject {
        let words = package::image(image);
        let entry = options.value(&["--entrypoint"]);
        let is_runtime = words.last().is_some_and(|last| is_one_of(last, RUNTIMES));
        let whole: Vec<&str> = entry.into_iter().chain(command.iter().copied()).collect();
        if is_runtime && !whole.is_empty() {
            let mounts = options
                .given
                .iter()
                .filter(|(option, _)| matches!(*option, "-v" | "--volume" | "--mount"));
            let mounts: Vec<&str> = mounts.map(|(_, mount)| *mount).collect();
            let key = words.join("/");
            return inside(words, &key, of(&whole, &self.base.elsewhere()), &mounts.join("\0"));
        }
        let entry = entry.map(|entry| stem(program_name(entry)).to_owned());
        named(words.into_iter().chain(entry).collect())
    }

    /// `ssh [OPTIONS] [USER@]HOST COMMAND`
    pub(super) fn remote(&self, options: &Options<'_>) -> Subject {
        let Some((target, command)) = options.rest.split_first() else { return self.unknown() };
        let target = target.strip_prefix("ssh://").unwrap_or(target);
        let host = target.rsplit('@').next().unwrap_or_default();
        let port = options.value(&["-p"]).filter(|port| *port != "22");
        let words: Vec<String> =
            [Some(host), port].into_iter().flatten().map(str::to_owned).collect();
        if command.is_empty() {
            return named(words);
        }
        let key = [target, port.unwrap_or_default()].join(":");
        inside(words, &key, self.line(&command.join(" "), &self.base.elsewhere()), "")
    }

    /// `kubectl exec -i POD -- COMMAND`
    pub(super) fn kubernetes(&self, options: &Options<'_>) -> Subject {
        let Some((&("exec" | "attach"), rest)) = options.rest.split_first() else {
            return self.unknown();
        };
        let inner = Options::of(rest, self.runner.valued);
        let Some((pod, behind)) = inner.rest.split_first() else { return self.unknown() };
        let place =
            options.value(&["-n", "--namespace"]).or_else(|| inner.value(&["-n", "--namespace"]));
        let words: Vec<String> =
            place.into_iter().chain([*pod]).map(|word| word.replace('/', "-")).collect();
        let key = words.join("/");
        let command = Options::of(behind, self.runner.valued).rest;
        inside(words, &key, of(command, &self.base.elsewhere()), "")
    }
}
