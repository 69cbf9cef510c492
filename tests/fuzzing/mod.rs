//! Fuzz targets: properties of arbitrary input. `cargo test` runs each for two seconds; `fuzz/` runs the same functions
//! without a time limit.

pub(crate) mod cost;
pub(crate) mod frame;
pub(crate) mod import;
pub(crate) mod policy;
pub(crate) mod session;
pub(crate) mod work;

pub(crate) mod peer;
pub(crate) mod relay;

#[cfg(test)]
mod mutate;
#[cfg(test)]
mod run;
#[cfg(test)]
mod seeds;

/// A call as a client's line; all three parameters are JSON.
pub(crate) fn call(id: &str, tool: &str, arguments: &str) -> String {
    let params = format!(r#"{{"name":{tool},"arguments":{arguments}}}"#);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#)
}
