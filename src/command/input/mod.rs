//! Reads the verbs' input: policy files, recordings, the server's command and name.

pub mod policy_file;
pub mod recording;
pub mod server_command;
pub mod server_name;
pub mod state;
