//! What is needed by whatever opens its own connections, such as a component that stands in for Spin's Postgres interface.
//! Apps have no use for it, and it may change with every release.

pub use crate::database::misconfigured;
pub use crate::instance::breaker::{STORE_TIMEOUT, SharedBreaker, key, now};
pub use crate::instance::config::variables;
pub use crate::instance::events::{Event, LAST_EVENT, LEASE, Minted, UNTIL_FINAL, WITHOUT_POSITIONS, new_name};
pub use crate::instance::signal::{Notified, Notifier, channel, spawn_detached};
pub use crate::instance::timer::{pause, timeout};
pub use crate::position::tells_nothing;
pub use crate::rules::allowed_host::not_allowed;
pub use crate::rules::bookmark::{Bookmark, Freshness, Position};
pub use crate::rules::breaker::{BreakerRecord, Now, State, Timestamp};
pub use crate::rules::budget::{Place, answer_by};
pub use crate::rules::recovery::Blame;
pub use crate::rules::statement::transaction::{Transaction, first_word, may_commit_in_parts};
pub use crate::rules::write::Outcome;
pub use crate::spin::method::name as method_name;

/// Log lines.
pub mod log {
    pub use crate::log::line;
}
