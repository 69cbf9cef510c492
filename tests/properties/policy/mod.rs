//! Policies: how they are read, and what they decide.

mod conditions;
mod import;
mod intercept;
mod names;
mod schema;
mod stricter;
