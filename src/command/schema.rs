//! `callgate schema`: what an editor needs to complete and check a policy file.

use super::Error;
use super::show::stdout;

/// The JSON Schema (2020-12) of the policy file. It refuses nothing that [`crate::engine::compile`] takes; what it
/// cannot say, such as that a key stands once, only the compiler finds.
pub const POLICY_SCHEMA: &str = include_str!("policy.schema.json");

/// Prints the schema.
///
/// # Errors
/// stdout cannot be written.
pub fn schema() -> Result<(), Error> {
    stdout::result(|out| Ok(out.write_all(POLICY_SCHEMA.as_bytes())?))?;
    Ok(())
}
