//! How the adapter is told what a user has seen elsewhere: by a record in the key-value store, like the one by which its
//! instances tell each other of writes. Its reads on this Machine are from then on where that much has been replayed, which it
//! checks on each connection. The two are instances that share nothing else: the adapter does not see the request, and one
//! instance of it serves several.

use std::cell::Cell;

use futures::future::join;
use nearest_replica::parts::{Bookmark, Event, LEASE, Minted, Position, STORE_TIMEOUT, new_name, pause, timeout};
use nearest_replica::{Attempt, CandidateKind, Failure, NoAnswer, Problem, Session};
use spin_sdk::key_value::{Error, Store};

use crate::settings::Settings;

/// How often to wait for another instance that is just telling it something.
const MOST: usize = 10;

thread_local! {
    /// What the adapter's reads are not older than, by what this instance has told or been told.
    static COVERED: Cell<Option<Position>> = const { Cell::new(None) };
}

impl Settings {
    /// Returns when the adapter's reads are from the primary, until it knows how far a replica must be to have everything
    /// that is there now.
    ///
    /// # Errors
    /// [`Problem::Behind`] where it cannot be told.
    pub(crate) async fn tell_to_ask_the_primary(&self) -> Result<(), Problem> {
        let Some(store) = self.opened().await else { return Err(untold()) };
        let told = in_time(store.set(Event::Seen.key(), new_name())).await;
        told.ok_or_else(untold)?;
        pause(LEASE).await;
        Ok(())
    }

    /// Returns when the adapter's reads see what the session has seen, whose position a replica here has: on each connection
    /// that has replayed as much as that replica, and else on the primary.
    ///
    /// # Errors
    /// [`Problem::Behind`] where it cannot be told.
    pub(crate) async fn tell(&self, session: &Session) -> Result<(), Problem> {
        let is_elsewhere = self.database.config().placement.other_region().is_some();
        let Some(seen) = session.arrived().filter(|_| is_elsewhere) else { return Ok(()) };
        if COVERED.get().is_some_and(|covered| covered.covers(seen)) {
            return Ok(());
        }
        let store = self.opened().await.ok_or_else(untold)?;
        let minted_key = Event::Seen.minted_key(&self.database.config().database_url);
        let mut is_told = false;
        for attempt in 0..MOST {
            let told = Told::of(&store, &minted_key).await.ok_or_else(untold)?;
            match told {
                Told::At(position) if position.covers(seen) => {
                    if !is_told {
                        // An instance may have asked the store a moment before that was there.
                        pause(LEASE).await;
                    }
                    COVERED.set(Some(position));
                    return Ok(());
                }
                // Most often it is enough.
                Told::Something if attempt + 1 < MOST => pause(LEASE).await,
                Told::Nothing | Told::At(_) | Told::Something => {
                    is_told = true;
                    let name = new_name();
                    in_time(store.set(Event::Seen.key(), name.clone())).await.ok_or_else(untold)?;
                    let mint = self.mint(session, seen, told, &store, &minted_key, &name);
                    if let (None, ()) = join(mint, pause(LEASE)).await {
                        // The adapter asks the primary.
                        return Ok(());
                    }
                }
            }
        }
        self.tell_to_ask_the_primary().await
    }

    /// Notes how far the replica is that was asked, after what the adapter is told by this name; nothing where the adapter is
    /// to ask the primary. Whatever it was told before has been replayed on that replica by now, or was on another one, and
    /// is in what stood there `before`: unless another instance has told it that between our look and our name, which it
    /// then finds out.
    async fn mint(
        &self,
        session: &Session,
        seen: Position,
        before: Told,
        store: &Store,
        minted_key: &str,
        name: &str,
    ) -> Option<()> {
        let here = session.position_where_it_arrived().await.filter(|here| here.covers(seen))?;
        let position = match before {
            Told::Nothing => here,
            Told::At(before) if here.covers(before) => here,
            Told::At(before) if before.covers(here) => before,
            Told::At(_) | Told::Something => return None,
        };
        let text = Minted::after(name, Bookmark::At(position)).to_string();
        in_time(store.set(minted_key, text)).await
    }

    async fn opened(&self) -> Option<Store> {
        in_time(Store::open(self.store.as_ref()?)).await
    }
}

/// What the adapter has been told last.
#[derive(Clone, Copy)]
enum Told {
    Nothing,
    At(Position),
    /// It has to ask the primary how far that is, or is just being told.
    Something,
}

impl Told {
    async fn of(store: &Store, minted_key: &str) -> Option<Self> {
        let Some(name) = in_time(store.get(Event::Seen.key())).await? else { return Some(Self::Nothing) };
        let minted = in_time(store.get(minted_key)).await?.unwrap_or_default();
        let minted = Minted::parse(&String::from_utf8_lossy(&minted));
        let minted = minted.filter(|minted| minted.is_after(&String::from_utf8_lossy(&name)));
        Some(match minted.map(|minted| minted.bookmark) {
            Some(Bookmark::At(position)) => Self::At(position),
            Some(Bookmark::Nothing | Bookmark::Primary | Bookmark::Until(_)) | None => Self::Something,
        })
    }
}

/// Nothing where the store does not answer.
async fn in_time<T>(asked: impl Future<Output = Result<T, Error>>) -> Option<T> {
    timeout(STORE_TIMEOUT, asked).await?.ok()
}

fn untold() -> Problem {
    let attempt = Attempt { kind: CandidateKind::Configured, failure: Failure::Behind };
    Problem::Behind(NoAnswer { tried: vec![attempt] })
}
