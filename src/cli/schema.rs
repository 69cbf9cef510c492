//! `callgate schema`, as it is typed.

use clap::Args;

/// Options of `callgate schema`.
#[derive(Debug, Args)]
#[command(after_help = "Example: callgate schema > policy.schema.json")]
pub struct SchemaArgs {}
