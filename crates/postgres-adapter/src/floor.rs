//! What a read must not be older than: the last write that an app on this Machine was told of.
//!
//! Two records, in the key-value store where there is one, so that all instances on the Machine have them, else in this
//! instance. `written` names the last write to any database: one address may be written in many ways. `minted`, one for
//! each database that is read from replicas, says how far its primary's log was at some time after the write that it names.
//! Whoever finds the two apart reads from the primary, and sees to it that the position is minted. A third, `uncertain`,
//! is there where a write may still happen: until when.

use std::cell::RefCell;
use std::hash::Hasher;
use std::time::Instant;

use fnv::FnvHasher;
use nearest_replica::DatabaseUrl;
use nearest_replica::parts::{
    Bookmark, Position, UNTIL_FINAL, WITHOUT_POSITIONS, WRITTEN, WRITTEN_LEASE, key, name_of_write, now,
};

use crate::host::{Host, NoStore};

const UNCERTAIN: &str = "nearest-replica/floor/uncertain";

/// The writes of this Machine.
#[derive(Clone)]
pub(crate) struct Writes {
    /// The label of the store.
    store: Option<String>,
}

/// How far a database's log was after the last of them.
pub(crate) struct Floor {
    writes: Writes,
    minted_key: String,
    /// What was minted or read last: that of a write does not change but after a failover.
    minted: RefCell<Option<Minted>>,
}

/// `<name of the write> <bookmark>`.
#[derive(Clone)]
struct Minted {
    write: String,
    bookmark: Bookmark,
}

/// What a read must see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    Nothing,
    /// What was replayed up to there, after the write of this name.
    At(Position, String),
    /// Only the primary has it for sure; with the name of the write after which to mint, where it is final.
    Primary(Option<String>),
}

thread_local! {
    /// Without a store all there is; with one what it did not take.
    static LOCAL: RefCell<Local> = RefCell::default();
    /// What the store said, and until when that is good.
    static LEASED: RefCell<Option<(Instant, Option<Last>)>> = const { RefCell::new(None) };
}

/// The name of the last write, and until when a write may still happen, in milliseconds since 1970.
type Last = (String, u64);

#[derive(Clone, Default)]
struct Local {
    written: Option<String>,
    /// Milliseconds since 1970.
    uncertain_until: u64,
    /// Whether the store did not take it.
    unsaved: bool,
}

impl Writes {
    pub(crate) fn new(store: Option<String>) -> Self {
        Self { store }
    }

    /// The app is about to be told of a write.
    pub(crate) async fn written(&self, host: Host) {
        LOCAL.with_borrow_mut(|local| local.written = Some(name_of_write()));
        LEASED.take();
        self.save(host).await;
    }

    /// Until all instances on the Machine know of what was written.
    pub(crate) async fn known(&self, host: Host) {
        if self.store.is_some() {
            host.pause(WRITTEN_LEASE).await;
        }
    }

    /// The app is about to be told of a write that may still happen, or will never be told of it.
    pub(crate) async fn may_be_written(&self, host: Host) {
        LOCAL.with_borrow_mut(|local| local.uncertain_until = now().timestamp.after(UNTIL_FINAL).0);
        self.written(host).await;
    }

    async fn save(&self, host: Host) {
        let Some(store) = &self.store else { return };
        let local = LOCAL.with_borrow(Clone::clone);
        let saved = async {
            if local.uncertain_until > now().timestamp.0 {
                host.set(store, UNCERTAIN, local.uncertain_until.to_string()).await?;
            }
            host.set(store, WRITTEN, local.written.clone().unwrap_or_default()).await
        };
        let unsaved = saved.await.is_err();
        // A write that came meanwhile sees for itself.
        LOCAL.with_borrow_mut(|known| {
            if known.written == local.written {
                known.unsaved = unsaved;
            }
        });
    }

    async fn last(&self, host: Host) -> Result<Option<Last>, NoStore> {
        let Some(store) = &self.store else {
            return Ok(LOCAL.with_borrow(|local| Some((local.written.clone()?, local.uncertain_until))));
        };
        if LOCAL.with_borrow(|local| local.unsaved) {
            self.save(host).await;
            if LOCAL.with_borrow(|local| local.unsaved) {
                return Err(NoStore);
            }
        }
        let asked = Instant::now();
        let leased = LEASED.with_borrow(|leased| leased.clone().filter(|(end, _)| asked < *end));
        if let Some((_, last)) = leased {
            return Ok(last);
        }
        let last = match host.get(store, WRITTEN).await? {
            None => None,
            Some(written) => {
                let uncertain = host.get(store, UNCERTAIN).await?;
                Some((written, uncertain.and_then(|until| until.parse().ok()).unwrap_or_default()))
            }
        };
        LEASED.set(Some((asked + WRITTEN_LEASE, last.clone())));
        Ok(last)
    }
}

impl Floor {
    pub(crate) fn new(url: &DatabaseUrl, writes: Writes) -> Self {
        Self { writes, minted_key: key("floor", url), minted: RefCell::default() }
    }

    /// What a read that begins now must see.
    pub(crate) async fn needed(&self, host: Host) -> Needed {
        // Without the store who knows what was written.
        let Ok(last) = self.writes.last(host).await else { return Needed::Primary(None) };
        let Some((write, uncertain_until)) = last else { return Needed::Nothing };
        let now = now().timestamp;
        // Nobody writes a later one: the clock was set.
        if uncertain_until > now.0 && uncertain_until <= now.after(UNTIL_FINAL).0 {
            return Needed::Primary(None);
        }
        let Ok(minted) = self.mint_of(host, &write).await else { return Needed::Primary(None) };
        match minted.map(|minted| minted.bookmark) {
            Some(Bookmark::At(position)) => Needed::At(position, write),
            Some(Bookmark::Until(at)) if at <= now.0 => Needed::Nothing,
            Some(Bookmark::Until(at)) if at <= now.after(WITHOUT_POSITIONS).0 => Needed::Primary(None),
            Some(Bookmark::Nothing | Bookmark::Primary | Bookmark::Until(_)) | None => Needed::Primary(Some(write)),
        }
    }

    /// What was minted after a write, by this instance or another.
    async fn mint_of(&self, host: Host, write: &str) -> Result<Option<Minted>, NoStore> {
        let of_this = |minted: &Minted| minted.write == name(write);
        let known = self.minted.borrow().clone().filter(of_this);
        let Some(store) = self.writes.store.as_ref().filter(|_| known.is_none()) else { return Ok(known) };
        let minted = host.get(store, &self.minted_key).await?.as_deref().and_then(Minted::parse).filter(of_this);
        if minted.is_some() {
            self.minted.borrow_mut().clone_from(&minted);
        }
        Ok(minted)
    }

    /// How far the primary's log was after a write; nothing where it does not say.
    pub(crate) async fn minted(&self, host: Host, write: &str, position: Option<Position>) {
        let without = || Bookmark::Until(now().timestamp.after(WITHOUT_POSITIONS).0);
        let minted = Minted { write: name(write), bookmark: position.map_or_else(without, Bookmark::At) };
        let text = format!("{} {}", minted.write, minted.bookmark);
        self.minted.replace(Some(minted));
        if let Some(store) = &self.writes.store {
            // Where it is not there, others mint for themselves.
            let _ = host.set(store, &self.minted_key, text).await;
        }
    }

    /// What was minted means nothing to the cluster any more.
    pub(crate) async fn forget(&self, host: Host) {
        self.minted.take();
        if let Some(store) = &self.writes.store {
            let _ = host.set(store, &self.minted_key, String::new()).await;
        }
    }

    /// The name of the last write, where it has not been minted yet.
    pub(crate) async fn to_mint(&self, host: Host) -> Option<String> {
        match self.needed(host).await {
            Needed::Primary(write) => write,
            Needed::Nothing | Needed::At(..) => None,
        }
    }
}

impl Minted {
    fn parse(text: &str) -> Option<Self> {
        let (write, bookmark) = text.split_once(' ')?;
        Some(Self { write: write.to_owned(), bookmark: Bookmark::parse(bookmark) })
    }
}

/// A write's name as it stands in a record, whatever somebody else has put into the store for it.
fn name(write: &str) -> String {
    let mut hasher = FnvHasher::default();
    hasher.write(write.as_bytes());
    format!("{:016x}", hasher.finish())
}
