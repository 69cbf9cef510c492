//! What holds for any input, compared with a naive model: short, slow, and plainly right.

mod any;

mod answers;
mod conditions;
mod decimals;
mod forwarding;
mod frames;
mod limits;
mod names;
mod stricter;
