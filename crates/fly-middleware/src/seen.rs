//! How the adapter is told what a user has seen elsewhere: by a record in the key-value store, like the one by which its
//! instances tell each other of writes. Its reads on this Machine are from then on where that much has been replayed, which it
//! checks on each connection. The two are instances that share nothing else: the adapter does not see the request, and one
//! instance of it serves several.

use std::cell::Cell;
use std::time::Instant;

use futures::future::join;
use nearest_replica::parts::{
    Bookmark, Event, LAST_EVENT, LEASE, Minted, Position, STORE_TIMEOUT, new_name, pause, timeout,
};
use nearest_replica::{Attempt, CandidateKind, Failure, NoAnswer, Problem, Session};
use spin_sdk::key_value::{Error, Store};

use crate::settings::Settings;

/// How often to look again where other instances are telling it something.
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
        let store = self.opened().await.ok_or_else(untold)?;
        for _ in 0..MOST {
            if self.put_down(&store, async |_| {}).await.ok_or_else(untold)? {
                return Ok(());
            }
        }
        Err(untold())
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
        // What counts is what two looks have found that are a lease apart: by then every instance goes by it, and nobody
        // puts down anything that is older.
        let mut last = None;
        for attempt in 0..MOST {
            let began = Instant::now();
            let told = Told::of(&store, &minted_key).await.ok_or_else(untold)?;
            let covers = matches!(told.position, Some(position) if position.covers(seen));
            if covers && last == told.name {
                COVERED.set(told.position);
                return Ok(());
            }
            // Another instance is just telling it something, most often enough.
            let is_under_way = told.name.is_some() && told.position.is_none() && attempt + 1 < MOST;
            if covers || is_under_way {
                last = told.name;
                pause(LEASE).await;
                continue;
            }
            let mint = async |name: String| {
                // What was told since we looked is lost: only who was quick knows that nobody has relied on it yet.
                let was_quick = began.elapsed() < LEASE;
                let here = session.position_where_it_arrived().await.filter(|here| here.covers(seen))?;
                let position = match (&told.name, told.position) {
                    _ if !was_quick => return None,
                    (None, _) => here,
                    (Some(_), Some(before)) if here.covers(before) => here,
                    (Some(_), Some(before)) if before.covers(here) => before,
                    // The adapter asks the primary.
                    (Some(_), Some(_) | None) => return None,
                };
                let minted = Minted::after(&name, Bookmark::At(position)).to_string();
                in_time(store.set(&minted_key, minted)).await.map(|()| position)
            };
            let mut minted = None;
            let is_ours = self.put_down(&store, async |name| minted = mint(name).await).await.ok_or_else(untold)?;
            if is_ours {
                COVERED.set(minted.or(COVERED.get()));
                return Ok(());
            }
        }
        Err(untold())
    }

    /// Gives what was seen a name, and does something `beside` that as soon as it is there. Says whether it is still the last
    /// one when all instances go by it; nothing where the store does not answer.
    async fn put_down(&self, store: &Store, beside: impl AsyncFnOnce(String)) -> Option<bool> {
        let name = new_name();
        in_time(store.set(Event::Seen.key(), name.clone())).await?;
        in_time(store.set(LAST_EVENT, new_name())).await?;
        join(beside(name.clone()), pause(LEASE)).await;
        Some(in_time(store.get(Event::Seen.key())).await?.as_deref() == Some(name.as_bytes()))
    }

    async fn opened(&self) -> Option<Store> {
        in_time(Store::open(self.store.as_ref()?)).await
    }
}

/// What the adapter has been told last.
struct Told {
    name: Option<String>,
    /// Nothing where it has to ask the primary how far that is, or is just being told.
    position: Option<Position>,
}

impl Told {
    async fn of(store: &Store, minted_key: &str) -> Option<Self> {
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let Some(name) = text(in_time(store.get(Event::Seen.key())).await?) else {
            return Some(Self { name: None, position: None });
        };
        let minted = text(in_time(store.get(minted_key)).await?).as_deref().and_then(Minted::parse);
        let position = minted.filter(|minted| minted.is_after(&name)).and_then(|minted| match minted.bookmark {
            Bookmark::At(position) => Some(position),
            Bookmark::Nothing | Bookmark::Primary | Bookmark::Until(_) => None,
        });
        Some(Self { name: Some(name), position })
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
