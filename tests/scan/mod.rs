//! `callgate scan`: what it makes of tools, and what it writes.

mod agreement;
mod classes;
mod policies;
mod updates;
