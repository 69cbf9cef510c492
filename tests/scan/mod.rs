//! `callgate scan`: what it makes of tools, and what it writes.

mod classes;
