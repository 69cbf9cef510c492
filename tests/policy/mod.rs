//! The policy language, tested as data: `tests/cases` through the engine and through the binary,
//! `tests/bad_policies` through the compiler.

mod bad_policies;
mod case;
mod cases;
mod live;
