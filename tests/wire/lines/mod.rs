//! Lines as such: what passes as it came, and lines that take long to read.

mod interrupts;
mod long_lines;
mod passes;
