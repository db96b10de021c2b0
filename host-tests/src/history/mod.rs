//! Whether every write is there once and every session sees its own: users who write and read in all regions, a history
//! of what each of them was told, and a checker that compares the history with itself and with the database at its end.

mod call;
mod check;
mod disturbance;
mod drive;
mod plan;
mod regions;
mod state;
mod statements;
mod summary;
mod user;
mod violation;

pub use call::{Call, Effect, Outcome, View};
pub use check::check;
pub use disturbance::disturb;
pub use drive::Drive;
pub use regions::{Address, Regions, serve_guest};
pub use state::{State, make_tables};
pub use summary::Summary;
pub use user::Client;
pub use violation::{Rule, Violation, report};
