//! The name that callgate 0.1 took from a server's command: there may still be counters under it.

use std::ffi::OsString;

/// The longest name in bytes.
const MAX_BYTES: usize = 64;

/// Programs that run the server named in their arguments.
const RUNNERS: [&str; 26] = [
    "npx", "npm", "pnpm", "pnpx", "yarn", "bun", "bunx", "deno", "node", "tsx", "ts-node", "uvx",
    "uv", "pipx", "python", "python3", "py", "docker", "podman", "sh", "bash", "cmd", "env",
    "sudo", "cargo", "npx.cmd",
];

/// Words that runners take before the server: `docker run`, `npm exec`, `uv tool run` …
const RUNNER_VERBS: [&str; 7] = ["run", "exec", "dlx", "tool", "x", "container", "create"];

/// Flags of runners that take their value from the next argument.
const FLAGS_WITH_VALUE: [&str; 34] = [
    "-p",
    "--package",
    "-c",
    "--call",
    "-e",
    "--env",
    "--env-file",
    "-v",
    "--volume",
    "--mount",
    "--name",
    "--network",
    "-u",
    "--user",
    "-w",
    "--workdir",
    "--from",
    "--with",
    "--python",
    "--directory",
    "--project",
    "--index-url",
    "--entrypoint",
    "--platform",
    "-r",
    "--require",
    "--import",
    "--loader",
    "-X",
    "-W",
    "-h",
    "--hostname",
    "--registry",
    "--cwd",
];

/// Names that mean nothing without their directory.
const VAGUE: [&str; 5] = ["index", "main", "server", "cli", "app"];

/// The name that an older callgate gives a server.
#[must_use]
pub fn older_name(command: &[OsString]) -> String {
    let words: Vec<String> =
        command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let subject = subject(&words).unwrap_or_default();
    let mut parts = subject.rsplit(['/', '\\']).filter(|part| !part.is_empty());
    let mut name = bare(parts.next().unwrap_or_default()).to_owned();
    if VAGUE.contains(&name.as_str())
        && let Some(parent) = parts.find(|part| !matches!(*part, "." | ".."))
    {
        name = format!("{}-{name}", bare(parent));
    }
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let safe: String =
        name.chars().map(|c| if is_safe(c) { c } else { '_' }).take(MAX_BYTES).collect();
    if safe.is_empty() { "server".to_owned() } else { safe }
}

/// The first argument that is not a runner, one of its verbs or flags, or such a flag's value.
fn subject(words: &[String]) -> Option<&str> {
    let mut words = words.iter().map(String::as_str);
    let mut runner = None;
    while let Some(word) = words.next() {
        let program = word.rsplit(['/', '\\']).next().unwrap_or(word);
        let program = program.strip_suffix(".exe").unwrap_or(program);
        if runner.is_some() && FLAGS_WITH_VALUE.contains(&word) {
            words.next();
        } else if RUNNERS.contains(&program) || is_python(program) {
            runner = Some(program);
        } else if word.starts_with('-') || (runner.is_some() && RUNNER_VERBS.contains(&word)) {
            // `-m module`, `-y` and the like: the next word is judged by itself.
        } else if runner == Some("env") && word.contains('=') {
            // `env NAME=value`
        } else {
            return Some(word);
        }
    }
    None
}

fn is_python(program: &str) -> bool {
    let version = program.strip_prefix("python");
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// A name without `@version`, `:tag` and extension.
fn bare(name: &str) -> &str {
    const EXTENSIONS: [&str; 9] =
        [".js", ".mjs", ".cjs", ".ts", ".mts", ".py", ".exe", ".cmd", ".sh"];
    let name = match name.char_indices().skip(1).find(|&(_, c)| c == '@' || c == ':') {
        Some((at, _)) => name.get(..at).unwrap_or(name),
        None => name,
    };
    let stem = EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(name)
}
