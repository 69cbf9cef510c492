//! The arguments of `callgate schema`.

use clap::Args;

/// Options of `callgate schema`.
#[derive(Debug, Args)]
#[command(
    about = "Print the JSON Schema of policy files, for editors",
    after_help = "Example: callgate schema > policy.schema.json"
)]
pub struct SchemaArgs {}
