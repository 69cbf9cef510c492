//! Limits: exact amounts, windows cut into slots, counters, and the ledger that charges them (contract P9–P13).
//!
//! Nothing here knows tools or policies: a counter's name is opaque, and the time is given.

pub mod amount;
pub mod clock;
pub mod counter;
pub mod ledger;
pub mod window;

use smallvec::SmallVec;

pub use self::amount::{AMOUNT_PLACES, Amount};
pub use self::clock::{LATEST_MS, LimitClock, Now};
pub use self::counter::{Counter, CounterKey, Scope};
pub use self::ledger::{
    Charge, Demand, Ledger, MemoryLedger, Reservation, Settlement, StateUnavailable, charge_of,
    settle,
};
pub use self::window::{MAX_WINDOW_SECONDS, NAMED_WINDOWS, Window};

/// A list with room for the limits of a usual call.
pub type Few<T> = SmallVec<[T; 2]>;
