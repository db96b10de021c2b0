//! A database as the app addresses it: the replicas in front of it, what is known about each, and the last write to it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nearest_replica::parts::{BreakerRecord, STORE_TIMEOUT, SharedBreaker, State, log, spawn_detached};
use nearest_replica::{Candidate, CandidateKind, Config, Failure, Role, candidates, why_no_replica};

use crate::floor::{Floor, Writes};
use crate::host::{Address, Host};
use crate::mint::mint;
use crate::settings::{Reads, Settings};

/// Addresses that an instance remembers: an app has a few, or one for each of its users.
const MOST_ADDRESSES: usize = 64;

/// How long the primary may take to say how far its log is, and how often in a row to ask.
const MINT: Duration = Duration::from_secs(10);
const MOST_MINTS: usize = 100;

/// How long it may take to see that a replica that is silent is alive.
const PROBE: Duration = Duration::from_secs(1);

thread_local! {
    static DATABASES: RefCell<HashMap<Address, Rc<Database>>> = RefCell::default();
}

/// What an address leads to.
pub(crate) struct Database {
    /// As the app wrote it: the primary.
    pub(crate) primary: Address,
    /// Where statements that only read may run as well; nothing where every statement is for the primary.
    pub(crate) replicas: Option<Rc<Replicas>>,
    /// Where to tell of writes; nothing where nobody on this Machine reads from a replica.
    pub(crate) writes: Option<Writes>,
}

/// The replicas before a primary.
pub(crate) struct Replicas {
    config: Config,
    /// In their order.
    pub(crate) all: Vec<Rc<Replica>>,
    pub(crate) floor: Floor,
    /// The primary, on connections that the app has no use for: its own may be in a transaction.
    minter: Address,
    store: Option<String>,
    /// Whether this instance is just asking the primary how far its log is.
    minting: Cell<bool>,
    /// When it was last logged that a replica lags.
    lag_logged: Cell<Option<Instant>>,
}

/// One of them.
pub(crate) struct Replica {
    pub(crate) kind: CandidateKind,
    address: Address,
    /// The same with a time limit in the server: a function that blocks cannot look whether that is still there.
    blocking: Address,
    /// For somebody who has not been there before, so that no connection is stuck.
    probe: Address,
    breaker: SharedBreaker,
    /// Whether this instance has seen that it is one.
    role_checked: Cell<bool>,
}

impl Database {
    /// That of an address, for the life of the instance.
    ///
    /// # Errors
    /// When a variable makes no sense, with what to write instead.
    pub(crate) async fn at(host: Host, address: &Address) -> Result<Rc<Self>, String> {
        if let Some(database) = DATABASES.with_borrow(|known| known.get(address).cloned()) {
            return Ok(database);
        }
        let settings = Settings::of_instance(host).await?;
        let replicas = match settings.reads {
            Reads::Replica => Replicas::of(&settings, address).map(Rc::new),
            Reads::Primary => None,
        };
        if let Some(replicas) = &replicas {
            replicas.refresh(host).await;
        }
        let database = Rc::new(Self { primary: address.clone(), replicas, writes: settings.writes() });
        DATABASES.with_borrow_mut(|known| {
            if known.len() >= MOST_ADDRESSES {
                known.clear();
            }
            Ok(Rc::clone(known.entry(address.clone()).or_insert(database)))
        })
    }
}

impl Replicas {
    /// Nothing where there can be none, such as in the primary region.
    fn of(settings: &Settings, address: &Address) -> Option<Self> {
        // What the library does not read goes to Spin as it is; so does what makes no sense.
        let mut config = settings.config(address.text.clone()).ok()?;
        if let Some(why) = why_no_replica(&config) {
            log::line("no-replica", &config, &[("reason", &why)]);
        }
        let blocking = candidates(&Config { statement_timeout: Some(config.deadline), ..config.clone() });
        config.statement_timeout = None;
        let mut found = candidates(&config);
        let configured = found.pop().expect("the given one is the last");
        let pairs = found.iter().zip(&blocking);
        let all: Vec<_> =
            pairs.map(|(candidate, limited)| Rc::new(Replica::new(candidate, limited, address))).collect();
        (!all.is_empty()).then(|| Self {
            all,
            floor: Floor::new(&config.database_url, Writes::new(settings.store.clone(), config.deadline)),
            minter: Address { text: configured.url.with_purpose("floor").expose_secret(), ..address.clone() },
            store: settings.store.clone(),
            minting: Cell::new(false),
            lag_logged: Cell::new(None),
            config,
        })
    }

    /// How long a replica may be silent before somebody looks whether it is still there.
    pub(crate) fn patience(&self) -> Duration {
        self.config.deadline / 4
    }

    /// How long a read may wait for a replica to replay what it must see.
    pub(crate) fn wait(&self) -> Duration {
        self.config.bookmark_wait
    }

    /// Takes over what other instances know.
    async fn refresh(&self, host: Host) {
        for replica in &self.all {
            self.refresh_one(host, replica).await;
        }
    }

    async fn refresh_one(&self, host: Host, replica: &Replica) {
        let Some(store) = &self.store else { return };
        let breaker = &replica.breaker;
        breaker.refresh_from(async { host.get(store, breaker.key()).await.ok().flatten() }).await;
    }

    /// Whether to try a replica. One that has failed a while ago is looked at behind the statement's back, or, where that is
    /// not possible, by this statement.
    pub(crate) async fn is_up(self: &Rc<Self>, host: Host, replica: &Rc<Replica>) -> bool {
        // Most often it is, and nobody needs to look at a clock.
        let breaker = &replica.breaker;
        if breaker.is_closed() {
            return true;
        }
        if breaker.state(Instant::now()) == State::HalfOpen {
            self.refresh_one(host, replica).await;
        }
        match (breaker.state(Instant::now()), host) {
            (State::Closed, _) => true,
            (State::Open, _) => false,
            (State::HalfOpen, Host::Blocking) => breaker.begin_probe(Instant::now()),
            (State::HalfOpen, Host::Async) => {
                if breaker.begin_probe(Instant::now()) {
                    self.look_at(host, replica).await;
                }
                false
            }
        }
    }

    pub(crate) async fn record_failure(&self, host: Host, replica: &Replica) {
        self.publish(host, replica, replica.breaker.failed()).await;
    }

    pub(crate) async fn record_success(&self, host: Host, replica: &Replica) {
        self.publish(host, replica, replica.breaker.succeeded()).await;
    }

    async fn publish(&self, host: Host, replica: &Replica, record: Option<BreakerRecord>) {
        if let (Some(store), Some(record)) = (&self.store, record) {
            // Where it is not there, others find out for themselves.
            let _ = host.set(store, replica.breaker.key(), record.to_string(), STORE_TIMEOUT).await;
        }
    }

    /// Writes a line about a statement that moved on from a replica, without the server's words: they may be the app's. Of
    /// those that lag, one in a second.
    pub(crate) fn log_move(&self, kind: CandidateKind, failure: &Failure) {
        if matches!(failure, Failure::Behind) {
            let now = Instant::now();
            if self.lag_logged.get().is_some_and(|logged| now < logged + Duration::from_secs(1)) {
                return;
            }
            self.lag_logged.set(Some(now));
        }
        let state = failure.sqlstate().map_or_else(String::new, |state| format!(" {state}"));
        log::line(
            "moved-on",
            &self.config,
            &[("candidate", &kind), ("reason", &format!("{}{state}", failure.class()))],
        );
    }

    /// Looks whether a replica is there, in the background where that is possible: one that was not, that has lost a
    /// connection, or that gave none in time, for its pool may only be busy.
    pub(crate) async fn look_at(self: &Rc<Self>, host: Host, replica: &Rc<Replica>) {
        let (replicas, replica) = (Rc::clone(self), Rc::clone(replica));
        let look = async move {
            if !replica.answers(host).await {
                replicas.record_failure(host, &replica).await;
            } else if let Some(record) = replica.breaker.succeeded() {
                replicas.publish(host, &replica, Some(record)).await;
                log::line("recovered", &replicas.config, &[("candidate", &replica.kind)]);
            }
        };
        match host {
            Host::Async => spawn_detached(look).await,
            Host::Blocking => look.await,
        }
    }

    /// Logs once in an instance where a replica is none, behind the statement's back.
    pub(crate) async fn check_role(self: &Rc<Self>, host: Host, replica: &Rc<Replica>) {
        if host == Host::Blocking || replica.role_checked.replace(true) {
            return;
        }
        let (replicas, replica) = (Rc::clone(self), Rc::clone(replica));
        spawn_detached(async move {
            let role = async {
                let connection = host.open(replica.address(host)).await?;
                host.execute(&connection, Role::STATEMENT, Vec::new()).await
            };
            if let Some(Ok(rows)) = host.within(PROBE, role).await
                && Role::from_rows(rows) == Some(Role::Primary)
            {
                let fields: [(&str, &dyn Display); 2] = [("candidate", &replica.kind), ("role", &Role::Primary)];
                log::line("unexpected-role", &replicas.config, &fields);
            }
        })
        .await;
    }

    /// Asks the primary how far its log is, behind the app's back and on a connection that it does not use, until no write
    /// has come meanwhile.
    pub(crate) async fn mint(self: &Rc<Self>, host: Host) {
        if self.minting.replace(true) {
            return;
        }
        let minting = Minting(Rc::clone(self));
        spawn_detached(async move {
            let replicas = &minting.0;
            for _ in 0..MOST_MINTS {
                let after = replicas.floor.to_mint(host).await;
                if !after.is_some() {
                    return;
                }
                let minted = async {
                    let connection = host.open(&replicas.minter).await.ok()?;
                    mint(host, &connection, &replicas.floor, &after).await
                };
                if host.within(MINT, minted).await.flatten().is_none() {
                    return;
                }
            }
        })
        .await;
    }
}

/// However it ends, the next one may begin.
struct Minting(Rc<Replicas>);

impl Drop for Minting {
    fn drop(&mut self) {
        self.0.minting.set(false);
    }
}

impl Replica {
    fn new(candidate: &Candidate, limited: &Candidate, given: &Address) -> Self {
        // A name may lead to the primary after all.
        let address = |candidate: &Candidate| Address {
            text: candidate.url.clone().with_setting("default_transaction_read_only", "on").expose_secret(),
            ca_root: given.ca_root.clone(),
        };
        Self {
            kind: candidate.kind,
            address: address(candidate),
            blocking: address(limited),
            probe: Address {
                text: candidate.url.clone().with_purpose("probe").expose_secret(),
                ca_root: given.ca_root.clone(),
            },
            breaker: SharedBreaker::new(&candidate.url),
            role_checked: Cell::new(false),
        }
    }

    /// Its address for those who wait, or for those who block.
    pub(crate) fn address(&self, host: Host) -> &Address {
        match host {
            Host::Async => &self.address,
            Host::Blocking => &self.blocking,
        }
    }

    /// Whether it answers.
    pub(crate) async fn answers(&self, host: Host) -> bool {
        let probe = async {
            let connection = host.open(&self.probe).await?;
            host.execute(&connection, "SELECT 1", Vec::new()).await
        };
        matches!(host.within(PROBE, probe).await, Some(Ok(_)))
    }
}
