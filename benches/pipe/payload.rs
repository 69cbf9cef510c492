//! The messages that are sent: calls, and large values in two shapes.

use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};

/// Ids have six digits, so that all calls are equally long.
pub const FIRST_ID: usize = 100_000;

/// The length of a small call, in bytes without its line feed.
const CALL_BYTES: usize = 245;

/// A small call of `tool`, exactly [`CALL_BYTES`] long.
pub fn call(id: usize, tool: &str) -> String {
    let around = |text: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"message":"{text}","width":1024,"height":1024}}}}}}"#
        )
    };
    let room = CALL_BYTES - around("").len();
    around(&"a message to be echoed, of some length; ".repeat(8)[..room])
}

/// The method that asks the server how many calls it has received.
pub const COUNT: &str = r#"{"jsonrpc":"2.0","id":0,"method":"bench/count"}"#;

/// The small result.
pub const SMALL: &str = r#"{"content":[{"type":"text","text":"ok"}]}"#;

/// A large value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Large {
    pub shape: Shape,
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One string.
    Text,
    /// An array of objects of 100 bytes each, with their commas.
    Objects,
}

impl Large {
    /// The value as JSON; about `bytes` long.
    pub fn value(self) -> String {
        match self.shape {
            Shape::Text => format!(
                "\"{}\"",
                "Forty-two bytes of prose, as models write. ".repeat(self.bytes / 43)
            ),
            Shape::Objects => {
                let mut value = String::with_capacity(self.bytes + 100);
                for id in 0..self.bytes / 100 {
                    let comma = if id == 0 { '[' } else { ',' };
                    let _ = write!(
                        value,
                        r#"{comma}{{"id":{id:>6},"name":"item {id:06}","price":12.50,"tags":["red","green"],"ok":true,"note":"abcdefgh"}}"#
                    );
                }
                value.push(']');
                value
            }
        }
    }

    /// The arguments of a call that carries the value.
    pub fn arguments(self) -> String {
        format!(r#"{{"data":{}}}"#, self.value())
    }

    /// A result that carries the value.
    pub fn result(self) -> String {
        let value = self.value();
        match self.shape {
            Shape::Text => format!(r#"{{"content":[{{"type":"text","text":{value}}}]}}"#),
            Shape::Objects => {
                format!(r#"{{"content":[],"structuredContent":{{"items":{value}}}}}"#)
            }
        }
    }
}

/// The parts of a line around its id, which can be replaced in place.
pub struct Frame {
    line: Vec<u8>,
}

impl Frame {
    const HEAD: &str = r#"{"jsonrpc":"2.0","id":"#;

    /// A call of `echo`.
    pub fn call(arguments: &str) -> Self {
        Self::new(&format!(
            r#""method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}"#
        ))
    }

    fn new(rest: &str) -> Self {
        let line = format!("{}{FIRST_ID},{rest}}}\n", Self::HEAD).into_bytes();
        Frame { line }
    }

    /// The line with this id, which has six digits like all others.
    pub fn with(&mut self, id: usize) -> &[u8] {
        let at = Self::HEAD.len();
        self.line[at..at + 6].copy_from_slice(id.to_string().as_bytes());
        &self.line
    }
}

impl FromStr for Large {
    type Err = Error;

    /// As displayed for [`Large`].
    fn from_str(text: &str) -> Result<Self> {
        let (shape, bytes) = text.split_once(':').context("SHAPE:BYTES")?;
        let shape = match shape {
            "text" => Shape::Text,
            "objects" => Shape::Objects,
            _ => bail!("`{shape}` is no shape"),
        };
        Ok(Large { shape, bytes: bytes.parse()? })
    }
}

impl std::fmt::Display for Large {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shape = match self.shape {
            Shape::Text => "text",
            Shape::Objects => "objects",
        };
        write!(f, "{shape}:{}", self.bytes)
    }
}
