//! Packages and images as they are requested: by name, with a version, from a repository, at a URL.

use super::is_path;

/// Owners that a name leaves out.
const KNOWN_OWNERS: [&str; 3] = ["modelcontextprotocol", "mcp", "library"];

/// Hosts of packages that a name leaves out.
const KNOWN_HOSTS: [&str; 7] = [
    "github.com",
    "www.github.com",
    "gitlab.com",
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "ghcr.io",
];

/// A package in a request.
pub(super) enum Package<'a> {
    /// Its name, with the owner before it.
    Named(Vec<String>),
    /// A file or directory of this machine.
    Local(&'a str),
}

/// Parses a package as `npx`, `uvx` and similar runners take it.
pub(super) fn package(spec: &str) -> Package<'_> {
    let spec = spec.trim();
    // `name @ https://…`
    let spec = spec.split_once(" @ ").map_or(spec, |(_, url)| url.trim());
    if let Some(path) = spec.strip_prefix("file:") {
        return Package::Local(path.strip_prefix("//").unwrap_or(path));
    }
    let known = ["npm:", "jsr:"].iter().find_map(|kind| spec.strip_prefix(kind));
    let spec = known.unwrap_or(spec);
    for forge in ["github:", "gitlab:", "bitbucket:", "gist:"] {
        if let Some(repository) = spec.strip_prefix(forge) {
            return Package::Named(at_url(repository));
        }
    }
    if let Some(url) = url(spec) {
        return Package::Named(at_url(url));
    }
    let is_scoped = spec.starts_with('@');
    if is_path(spec) && !is_scoped && (spec.starts_with(['.', '/', '\\']) || spec.contains('\\')) {
        return Package::Local(spec);
    }
    let (scope, rest) = match spec.strip_prefix('@').and_then(|scoped| scoped.split_once('/')) {
        Some((scope, rest)) => (Some(scope), rest),
        None => (None, spec.strip_prefix('@').unwrap_or(spec)),
    };
    let name = rest.split(['@', '=', '<', '>', '!', '~', ';', '[', ' ', '#']).next();
    let parts = scope.into_iter().chain(name.unwrap_or_default().split('/'));
    Package::Named(named(parts))
}

/// The part of a URL after its scheme, with or without `git+`.
fn url(spec: &str) -> Option<&str> {
    let (scheme, rest) = spec.split_once("://")?;
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.chars().all(is_scheme).then_some(rest)
}

/// The words of `[USER@]HOST/OWNER/NAME[.git][@REF][#…]`.
fn at_url(text: &str) -> Vec<String> {
    let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
    let path = path.split('?').next().unwrap_or_default();
    let path = match path.split_once('/') {
        Some((host, rest)) => {
            let host = host.rsplit('@').next().unwrap_or_default();
            [host, "/", rest.split('@').next().unwrap_or_default()].concat()
        }
        None => path.to_owned(),
    };
    let subdirectory = fragment.split('&').find_map(|part| part.strip_prefix("subdirectory="));
    let ends = [".git", ".tgz", ".tar.gz", ".zip", ".whl"];
    let path = path.trim_end_matches('/');
    let path = ends.iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path);
    named(path.split('/').chain(subdirectory.unwrap_or_default().split('/')))
}

/// The words of an image: `[HOST[:PORT]/][OWNER/]NAME[:TAG][@DIGEST]`.
pub(super) fn image(text: &str) -> Vec<String> {
    let text = text.split('@').next().unwrap_or_default();
    let (before, last) = text.rsplit_once('/').unwrap_or(("", text));
    let last = last.split(':').next().unwrap_or_default();
    named(before.split('/').chain([last]))
}

/// The words of a Go module: `HOST/OWNER/NAME/…[@VERSION]`.
pub(super) fn go_module(text: &str) -> Vec<String> {
    named(text.split('@').next().unwrap_or_default().split('/'))
}

fn named<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let last = parts.len().saturating_sub(1);
    let says_nothing = |place: usize, part: &str| {
        place < last && (KNOWN_OWNERS.contains(&part) || place == 0 && KNOWN_HOSTS.contains(&part))
    };
    let parts = parts.iter().enumerate().filter(|(place, part)| !says_nothing(*place, part));
    parts.map(|(_, part)| (*part).to_owned()).collect()
}
