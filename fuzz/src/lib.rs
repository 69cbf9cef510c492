//! What the fuzz targets run: the bodies of `tests/fuzzing`, which `cargo test` runs, too.
//!
//! ```sh
//! CALLGATE_FUZZ_CORPUS=fuzz/corpus cargo test fuzzing     # writes the seeds
//! cargo +nightly fuzz run -s none frame -- -max_total_time=600 -max_len=65536 -rss_limit_mb=2048
//! cargo +nightly fuzz run -s none import -- -max_total_time=600 -max_len=65536 -rss_limit_mb=2048
//! cargo +nightly fuzz run -s none policy -- -max_total_time=600 -max_len=65536 -rss_limit_mb=2048
//! cargo +nightly fuzz run -s none session -- -max_total_time=600 -max_len=65536 -rss_limit_mb=2048
//! cargo +nightly fuzz run -s none work -- -max_total_time=600 -max_len=65536 -rss_limit_mb=2048
//! ```
//!
//! What is fuzzed is safe Rust. Without `-s none` the address sanitizer watches over it, too, at a twentieth of
//! the speed.

#[path = "../../tests/fuzzing/mod.rs"]
mod fuzzing;

/// Bytes as a client or a server might send them.
pub fn frame(input: &[u8]) {
    fuzzing::frame::check(input);
}

/// Bytes as a policy file.
pub fn policy(input: &[u8]) {
    fuzzing::policy::check(input);
}

/// Bytes as a policy file of Intercept's.
pub fn import(input: &[u8]) {
    fuzzing::import::check(input);
}

/// A policy, and what both sides send.
pub fn session(input: &[u8]) {
    fuzzing::session::check(input);
}

/// A policy and a call.
pub fn work(input: &[u8]) {
    fuzzing::work::check(input);
}
