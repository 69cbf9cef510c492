//! The form of the case files.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;

/// A policy and calls that it must decide as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The rule that the case tests, and in which respect.
    pub(super) why: String,
    /// For a case that allows every call: the `why` of the case that denies a similar one. `tests/tidy` checks this.
    #[serde(default, rename = "twin")]
    pub(super) _twin: IgnoredAny,
    pub(super) policy: Box<RawValue>,
    #[serde(default)]
    pub(super) shadow: bool,
    pub(super) calls: Vec<Call>,
}

/// One call, or `times` identical ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) tool: Box<RawValue>,
    pub(super) arguments: Option<Box<RawValue>>,
    /// Default: the time of the call before; for the first call 2026-01-01T00:00:00Z.
    pub(super) at: Option<Timestamp>,
    #[serde(default = "once")]
    pub(super) times: u32,
    pub(super) expect: Expect,
    pub(super) rule: Option<String>,
    /// The decision that shadow mode reports.
    pub(super) shadow_rule: Option<String>,
    pub(super) message: Option<String>,
    #[serde(default)]
    pub(super) retry_after_ms: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    Allow,
    Deny,
    Ask,
    Hide,
}

impl Call {
    /// The call as a client's line, without its line end.
    pub(super) fn line(&self, id: usize) -> String {
        let arguments =
            self.arguments.as_ref().map_or(String::new(), |text| format!(r#","arguments":{text}"#));
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":{}{arguments}}}}}"#,
            self.tool
        )
    }
}

fn once() -> u32 {
    1
}

/// The expected `retry_after_ms`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Option<u64>")]
pub(super) enum Retry {
    /// Not checked.
    #[default]
    Unsaid,
    /// `null`: there must be no such time.
    Never,
    /// This many milliseconds.
    After(u64),
}

impl From<Option<u64>> for Retry {
    fn from(written: Option<u64>) -> Self {
        written.map_or(Retry::Never, Retry::After)
    }
}

/// All values in the JSON files of `folder`, each with its origin.
pub(super) fn read_all<T: DeserializeOwned>(folder: &str) -> Vec<(String, T)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "json")) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(file).expect("a case file");
        let cases: Vec<T> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let numbered = cases.into_iter().enumerate();
        all.extend(numbered.map(|(nth, case)| (format!("{name}[{nth}]"), case)));
    }
    all
}
