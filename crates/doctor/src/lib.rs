//! Looks at every database that a Machine would read from, as the component would reach it, and says what is wrong and what
//! to write instead.
//!
//! `examine` asks: `variables` are the component's own, `ask` speaks with the servers, `judge` makes findings of what they
//! have said, `text` is how people read it. Nothing is written to any database.

mod allowed;
mod arguments;
mod ask;
mod examine;
mod facts;
mod finding;
mod judge;
mod report;
mod text;
mod variables;

pub use arguments::{Arguments, run};
pub use examine::examine;
pub use finding::{Code, Finding, Severity};
pub use report::{CandidateReport, Load, Report};
pub use variables::Variables;
