//! The rows of `tests/data/frames/*.json`: one line on a pipe, and how callgate treats it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;

/// Rows that test one rule from both sides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group<Row> {
    pub(crate) rule: String,
    pub(crate) rows: Vec<Row>,
}

/// The notations for a line in a row.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// Text.
    #[serde(rename = "line")]
    Text(String),
    /// The raw arguments of a call of the tool `t` with id 1.
    Arguments(String),
    /// Bytes: each character is one byte, U+0000 to U+00FF.
    Bytes(String),
    /// Texts to repeat.
    Pieces(Vec<(String, usize)>),
}

impl Line {
    /// The line without its LF.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Line::Text(text) => text.clone().into_bytes(),
            Line::Arguments(raw) => format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{raw}}}}}"#
            )
            .into_bytes(),
            Line::Bytes(text) => {
                text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect()
            }
            Line::Pieces(pieces) => {
                pieces.iter().map(|(text, times)| text.repeat(*times)).collect::<String>().into()
            }
        }
    }
}

/// Reads a table, which must have at least `least` rows.
pub(crate) fn read<Row: DeserializeOwned>(file: &str, least: usize) -> Vec<Group<Row>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frames").join(file);
    let groups: Vec<Group<Row>> = serde_json::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{file}: {error}"));
    let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
    assert!(rows >= least, "{file} has only {rows} rows");
    groups
}

/// Fails with all complaints at once.
pub(crate) fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} rows fail:\n{}", complaints.len(), complaints.join("\n"));
}
