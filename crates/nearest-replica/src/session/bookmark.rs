//! The bookmark at the end of a session.

use super::Session;
use super::state::{Seen, now, until};
use crate::instance::events::WITHOUT_POSITIONS;
use crate::position::{mint, mint_of_primary, tells_nothing};
use crate::read::Scope;
use crate::rules::bookmark::{Bookmark, Position};
use crate::rules::failure::Failure;
use crate::spin::postgres::Connection;
use crate::write::within;

impl Session {
    /// Whether the session has written, or may have.
    #[must_use]
    pub fn wrote(&self) -> bool {
        self.state.borrow().wrote
    }

    /// Whether the user needs a new bookmark: the session has written, or may have, or the one it was begun with leads to
    /// the primary each time.
    #[must_use]
    pub fn bookmark_is_due(&self) -> bool {
        let state = self.state.borrow();
        let detour = match state.bookmark {
            Bookmark::Nothing | Bookmark::At(_) => state.foreign,
            Bookmark::Primary => true,
            Bookmark::Until(at) => at <= now(),
        };
        state.wrote || (detour && !matches!(state.seen, Seen::Nothing))
    }

    /// What to begin the user's next session with, so that it sees what this one has seen: at most 64 ASCII characters,
    /// nothing secret. Asks the database where the session has last been, in two round trips, so call it once, at the end,
    /// and only where [`Session::bookmark_is_due`].
    pub async fn bookmark(&self) -> String {
        let (bookmark, seen, wrote) = {
            let state = self.state.borrow();
            (state.bookmark, state.seen.clone(), state.wrote)
        };
        if let Bookmark::Until(at) = bookmark
            && at > now()
        {
            return bookmark.to_string();
        }
        let minted = match seen {
            Seen::Nothing => return bookmark.to_string(),
            Seen::Server(_, connection) => within(self.end, mint(&connection)).await.map(|(_, position)| position),
            Seen::Primary(connection) => self.mint_on_primary(connection).await,
        };
        match minted {
            Ok(position) => Bookmark::At(position).to_string(),
            Err(failure) if tells_nothing(&failure) => {
                self.database.log_no_bookmarks(&failure);
                match bookmark {
                    _ if wrote => until(WITHOUT_POSITIONS).to_string(),
                    Bookmark::Nothing | Bookmark::Until(_) => String::new(),
                    Bookmark::Primary | Bookmark::At(_) => Bookmark::Primary.to_string(),
                }
            }
            Err(failure) => {
                if matches!(failure, Failure::NotPermitted(_)) {
                    self.database.not_permitted(&failure);
                }
                Bookmark::Primary.to_string()
            }
        }
    }

    async fn mint_on_primary(&self, connection: Option<Connection>) -> Result<Position, Failure> {
        if let Some(connection) = connection
            && let Ok(position) = within(self.end, mint_of_primary(&connection)).await
        {
            return Ok(position);
        }
        let run = async |_, connection: &Connection| mint_of_primary(connection).await;
        let answer = self.database.reader().answer(self.end, Scope::Primary, run).await;
        answer.map(|answer| answer.value).map_err(|mut no_answer| {
            let last = no_answer.tried.pop();
            last.map_or(Failure::TimedOut, |attempt| attempt.failure)
        })
    }
}
