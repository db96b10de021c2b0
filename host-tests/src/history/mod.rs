//! Whether every write is there once and every session sees its own: users who write and read in all regions, a history
//! of what each of them was told, and a checker that compares the history with itself and with the database at its end.
//! The same for guests of a guestbook that knows nothing of sessions: on one Machine behind the adapter, or in all regions
//! behind the middleware as well.

mod book;
mod call;
mod check;
mod disturbance;
mod drive;
mod everywhere;
mod guest;
mod plan;
mod regions;
mod state;
mod statements;
mod summary;
mod user;
mod violation;

pub use book::make_book;
pub use call::{Call, Effect, Outcome, View};
pub use check::{check, check_guests, check_machine};
pub use disturbance::disturb;
pub use drive::Drive;
pub use everywhere::{Behind, guests_everywhere, serve_everywhere};
pub use regions::{Address, Regions, serve_guest};
pub use state::{State, make_tables};
pub use summary::Summary;
pub use user::Client;
pub use violation::{Rule, Violation, report};
