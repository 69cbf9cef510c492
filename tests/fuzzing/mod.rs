//! Fuzz targets: what must hold for any input at all. `cargo test` gives each two seconds; `fuzz/` runs the same
//! functions for as long as one likes.

pub(crate) mod frame;
pub(crate) mod policy;
pub(crate) mod session;

pub(crate) mod peer;
pub(crate) mod relay;

#[cfg(test)]
mod mutate;
#[cfg(test)]
mod run;
#[cfg(test)]
mod seeds;
