//! The policy language, tested as data: `tests/data/cases` through the engine and through the binary,
//! `tests/data/bad_policies` through the compiler,
//! `tests/data/import` from another language,
//! `tests/data/own_tests` through the runner of a policy's own tests; all of them beside the schema.

mod bad_policies;
mod case;
mod cases;
mod explanations;
mod hints;
mod import;
mod live;
mod own_tests;
pub(crate) mod schema;
mod work;
