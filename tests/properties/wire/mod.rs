//! Lines: what is forwarded, cut and answered.

mod answers;
mod forwarding;
mod frames;
mod inquiry;
mod keys;
mod lists;
