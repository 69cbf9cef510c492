//! `callgate schema`: prints the JSON Schema of policy files, which lets editors complete and check them.

use super::Error;
use super::show::stdout;

/// The JSON Schema (2020-12) of the policy file. It accepts every policy that [`crate::engine::compile`] accepts; rules
/// that a schema cannot express, such as unique keys, are left to the compiler.
pub const POLICY_SCHEMA: &str = include_str!("policy.schema.json");

/// Prints the schema.
///
/// # Errors
/// stdout cannot be written.
pub fn schema() -> Result<(), Error> {
    stdout::result(|out| Ok(out.write_all(POLICY_SCHEMA.as_bytes())?))?;
    Ok(())
}
