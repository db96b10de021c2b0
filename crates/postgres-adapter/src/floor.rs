//! What a read must not be older than: the last write that an app on this Machine was told of, and what a user has seen
//! elsewhere whose request was let in by the middleware.
//!
//! Of both there is a record in the key-value store where there is one, so that all instances on the Machine have it, else in
//! this instance: a name, that of the last event, whatever the database (one address may be written in many ways). Beside
//! each, one for each database that is read from replicas says how far a log was at some time after the event that it names:
//! that of the primary, or what the middleware has found on a replica. Whoever finds the two apart reads from the primary,
//! and sees to it that the position is minted. A fifth, `uncertain`, is there where a write may still happen: until when. And
//! a sixth changes after each change of the others, so that nobody asks for those where nothing has happened.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use nearest_replica::DatabaseUrl;
use nearest_replica::parts::{
    Bookmark, Event, LAST_EVENT, LEASE, Minted, Position, STORE_TIMEOUT, UNTIL_FINAL, WITHOUT_POSITIONS, new_name, now,
};

use crate::host::{Host, NoStore};

const UNCERTAIN: &str = "nearest-replica/floor/uncertain";

/// By how much an instance may be late with what it says of a write that may still happen: more than it waits for the store.
const SLACK: Duration = Duration::from_secs(1);

/// Between two attempts to have the store take a write.
const BETWEEN_SAVES: Duration = Duration::from_millis(20);

/// The writes of this Machine.
#[derive(Clone)]
pub(crate) struct Writes {
    /// The label of the store.
    store: Option<String>,
    /// How long an app waits until the store has its write.
    patience: Duration,
}

/// How far a database's log was after the last events.
pub(crate) struct Floor {
    writes: Writes,
    written: AfterEvent,
    seen: AfterEvent,
}

/// How far it was after the last one of a kind.
struct AfterEvent {
    key: String,
    /// What was minted or read last: that of an event does not change but after a failover.
    minted: RefCell<Option<Minted>>,
}

/// What a read must see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    Nothing,
    /// What was replayed up to there.
    At(Position),
    /// Only the primary has it for sure; with what to mint after, where that is final.
    Primary(Unminted),
}

/// The names of events after which nothing was minted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unminted {
    written: Option<String>,
    seen: Option<String>,
}

thread_local! {
    /// Without a store all there is; with one what it did not take.
    static LOCAL: RefCell<Local> = RefCell::default();
    /// What the store said.
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// What the store said, which is still so for as long as its last event is the same.
#[derive(Clone)]
struct Known {
    /// Until when nobody asks.
    until: Instant,
    event: Option<String>,
    last: Last,
}

/// The names of the last events, and until when a write may still happen, in milliseconds since 1970.
#[derive(Clone, Default)]
struct Last {
    written: Option<String>,
    uncertain_until: u64,
    seen: Option<String>,
}

#[derive(Clone, Default)]
struct Local {
    written: Option<String>,
    /// Milliseconds since 1970.
    uncertain_until: u64,
    /// What the store did not take.
    unsaved: Unsaved,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Unsaved {
    written: bool,
    uncertain: bool,
}

impl Writes {
    pub(crate) fn new(store: Option<String>, patience: Duration) -> Self {
        Self { store, patience }
    }

    /// The app is about to be told of a write. Returns when all instances on the Machine know of it, for which it waits as
    /// long as a request may take.
    ///
    /// # Errors
    /// When the store has not taken it.
    pub(crate) async fn written(&self, host: Host) -> Result<(), NoStore> {
        note();
        if self.store.is_none() {
            return Ok(());
        }
        let end = Instant::now() + self.patience;
        while self.save(host, end.saturating_duration_since(Instant::now())).await.is_err() {
            if Instant::now() + BETWEEN_SAVES >= end {
                return Err(NoStore);
            }
            host.pause(BETWEEN_SAVES).await;
        }
        Ok(())
    }

    /// Waits until nobody on the Machine goes by an older answer of the store.
    pub(crate) async fn known(&self, host: Host) {
        if self.store.is_some() {
            host.pause(LEASE).await;
        }
    }

    /// The app is about to be told of a write that may still happen, or will never be told of it. Where the store does not
    /// take that, this instance tries again before it reads.
    pub(crate) async fn may_be_written(&self, host: Host) {
        note();
        LOCAL.with_borrow_mut(|local| {
            local.uncertain_until = now().timestamp.after(UNTIL_FINAL + SLACK).0;
            local.unsaved.uncertain = self.store.is_some();
        });
        let _ = self.save(host, STORE_TIMEOUT).await;
    }

    /// Has the store take what it has not taken: under a new name each time, for an attempt that had failed may have been
    /// taken after all, and what was minted after it may be old by now.
    async fn save(&self, host: Host, limit: Duration) -> Result<(), NoStore> {
        let Some(store) = &self.store else { return Ok(()) };
        let Local { written, uncertain_until, unsaved } = LOCAL.with_borrow(Clone::clone);
        if unsaved.uncertain {
            let until = now().timestamp.after(UNTIL_FINAL + SLACK).0;
            host.set(store, UNCERTAIN, until.to_string(), limit.min(STORE_TIMEOUT)).await?;
            LOCAL.with_borrow_mut(|local| local.unsaved.uncertain = local.uncertain_until != uncertain_until);
        }
        if unsaved.written {
            host.set(store, Event::Written.key(), new_name(), limit).await?;
            host.set(store, LAST_EVENT, new_name(), limit).await?;
            // A write that came meanwhile sees for itself.
            LOCAL.with_borrow_mut(|local| local.unsaved.written = local.written != written);
        }
        Ok(())
    }

    async fn last(&self, host: Host) -> Result<Last, NoStore> {
        let Some(store) = &self.store else {
            return Ok(LOCAL.with_borrow(|local| Last {
                written: local.written.clone(),
                uncertain_until: local.uncertain_until,
                seen: None,
            }));
        };
        if LOCAL.with_borrow(|local| local.unsaved != Unsaved::default()) {
            self.save(host, STORE_TIMEOUT).await?;
        }
        let asked = Instant::now();
        let known = KNOWN.with_borrow(|known| known.clone());
        if let Some(known) = &known
            && asked < known.until
        {
            return Ok(known.last.clone());
        }
        // Most often nothing has happened since, and that is all there is to ask.
        let event = host.get(store, LAST_EVENT).await?;
        let last = match known {
            Some(known) if known.event == event => known.last,
            Some(_) | None if event.is_none() => Last::default(),
            Some(_) | None => {
                let written = host.get(store, Event::Written.key()).await?;
                let uncertain = host.get(store, UNCERTAIN).await?;
                let seen = host.get(store, Event::Seen.key()).await?;
                let uncertain_until = uncertain.and_then(|until| until.parse().ok()).unwrap_or_default();
                Last { written, uncertain_until, seen }
            }
        };
        KNOWN.set(Some(Known { until: asked + LEASE, event, last: last.clone() }));
        Ok(last)
    }
}

/// Something was written, or may have been.
fn note() {
    LOCAL.with_borrow_mut(|local| {
        local.written = Some(new_name());
        local.unsaved.written = true;
    });
    KNOWN.take();
}

impl Unminted {
    pub(crate) fn is_some(&self) -> bool {
        self.written.is_some() || self.seen.is_some()
    }
}

impl Floor {
    pub(crate) fn new(url: &DatabaseUrl, writes: Writes) -> Self {
        let after = |event: Event| AfterEvent { key: event.minted_key(url), minted: RefCell::default() };
        Self { writes, written: after(Event::Written), seen: after(Event::Seen) }
    }

    /// What a read that begins now must see.
    pub(crate) async fn needed(&self, host: Host) -> Needed {
        // Without the store who knows what was written.
        self.known_to_be_needed(host).await.unwrap_or_else(|NoStore| Needed::Primary(Unminted::default()))
    }

    async fn known_to_be_needed(&self, host: Host) -> Result<Needed, NoStore> {
        let last = self.writes.last(host).await?;
        let now = now().timestamp;
        // Nobody writes a later one: the clock was set.
        if last.uncertain_until > now.0 && last.uncertain_until <= now.after(UNTIL_FINAL + SLACK).0 {
            return Ok(Needed::Primary(Unminted::default()));
        }
        let store = self.writes.store.as_deref();
        let written = self.written.needed(host, store, last.written.as_deref()).await?;
        let seen = self.seen.needed(host, store, last.seen.as_deref()).await?;
        Ok(match (written, seen) {
            (AfterLast::Nothing, AfterLast::Nothing) => Needed::Nothing,
            (AfterLast::At(position), AfterLast::Nothing) | (AfterLast::Nothing, AfterLast::At(position)) => {
                Needed::At(position)
            }
            (AfterLast::At(one), AfterLast::At(other)) if one.covers(other) => Needed::At(one),
            (AfterLast::At(one), AfterLast::At(other)) if other.covers(one) => Needed::At(other),
            // One of them is of before a failover.
            (AfterLast::At(_), AfterLast::At(_)) => {
                Needed::Primary(Unminted { written: last.written, seen: last.seen })
            }
            (written, seen) => Needed::Primary(Unminted {
                written: last.written.filter(|_| matches!(written, AfterLast::Unminted)),
                seen: last.seen.filter(|_| matches!(seen, AfterLast::Unminted)),
            }),
        })
    }

    /// How far the primary's log was after these events; nothing where it does not say.
    pub(crate) async fn minted(&self, host: Host, after: &Unminted, position: Option<Position>) {
        let bookmark = match position {
            Some(position) => Bookmark::At(position),
            None => Bookmark::Until(now().timestamp.after(WITHOUT_POSITIONS).0),
        };
        let store = self.writes.store.as_deref();
        for (record, name) in [(&self.written, &after.written), (&self.seen, &after.seen)] {
            let Some(name) = name else { continue };
            // The middleware may have been faster, and what it has found on a replica is enough.
            if let Ok(Some(Minted { bookmark: Bookmark::At(_), .. })) = record.minted_after(host, store, name).await {
                continue;
            }
            let minted = Minted::after(name, bookmark);
            let text = minted.to_string();
            record.minted.replace(Some(minted));
            if let Some(store) = store {
                // Where it is not there, others mint for themselves.
                let _ = host.set(store, &record.key, text, STORE_TIMEOUT).await;
            }
        }
    }

    /// What was minted means nothing to the cluster any more. Returns what to mint after.
    pub(crate) async fn forget(&self, host: Host) -> Unminted {
        for record in [&self.written, &self.seen] {
            record.minted.take();
            if let Some(store) = &self.writes.store {
                let _ = host.set(store, &record.key, String::new(), STORE_TIMEOUT).await;
            }
        }
        self.to_mint(host).await
    }

    /// The names of the last events, where nothing was minted after them yet.
    pub(crate) async fn to_mint(&self, host: Host) -> Unminted {
        match self.needed(host).await {
            Needed::Primary(unminted) => unminted,
            Needed::Nothing | Needed::At(_) => Unminted::default(),
        }
    }
}

/// What is known of the log after the last event of a kind.
enum AfterLast {
    /// There was none, or it does not matter any more.
    Nothing,
    At(Position),
    /// The database does not say how far its log is.
    ForPrimary,
    Unminted,
}

impl AfterEvent {
    async fn needed(&self, host: Host, store: Option<&str>, name: Option<&str>) -> Result<AfterLast, NoStore> {
        let Some(name) = name else { return Ok(AfterLast::Nothing) };
        let minted = self.minted_after(host, store, name).await?;
        let now = now().timestamp;
        Ok(match minted.map(|minted| minted.bookmark) {
            Some(Bookmark::At(position)) => AfterLast::At(position),
            Some(Bookmark::Until(at)) if at <= now.0 => AfterLast::Nothing,
            Some(Bookmark::Until(at)) if at <= now.after(WITHOUT_POSITIONS).0 => AfterLast::ForPrimary,
            Some(Bookmark::Nothing | Bookmark::Primary | Bookmark::Until(_)) | None => AfterLast::Unminted,
        })
    }

    /// What was minted after an event, by this instance or another.
    async fn minted_after(&self, host: Host, store: Option<&str>, name: &str) -> Result<Option<Minted>, NoStore> {
        let known = self.minted.borrow().clone().filter(|minted| minted.is_after(name));
        let Some(store) = store.filter(|_| known.is_none()) else { return Ok(known) };
        let minted = host.get(store, &self.key).await?.as_deref().and_then(Minted::parse);
        let minted = minted.filter(|minted| minted.is_after(name));
        if minted.is_some() {
            self.minted.borrow_mut().clone_from(&minted);
        }
        Ok(minted)
    }
}
