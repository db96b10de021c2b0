//! Many users at once, for as long as something else goes on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{RwLock, RwLockWriteGuard};

use super::book::GUESTS;
use super::call::Call;
use super::guest::Guest;
use super::plan::Keys;
use super::regions::{Address, Regions};
use super::state::SESSIONS;
use super::user::{Client, User};

/// The longest that a user thinks between two requests, in milliseconds.
const THINKING_MS: u64 = 20;

/// Who they are.
#[derive(Clone, Copy)]
enum Who {
    Users(Client),
    Guests,
}

/// One of them.
enum Somebody {
    User(User),
    Guest(Guest),
}

/// The users of some Machines.
pub struct Drive {
    addresses: Vec<Address>,
    who: Who,
    seed: u64,
    stopped: AtomicBool,
    answered: AtomicUsize,
    unknown: AtomicUsize,
    gate: RwLock<()>,
}

impl Drive {
    /// Users of all regions. The same seed makes the same users, but not the same history: that depends on the clock.
    #[must_use]
    pub fn through(regions: &Regions, client: Client, seed: u64) -> Self {
        Self::at(regions.addresses(), client, seed)
    }

    /// Users of these Machines, which serve the session guest.
    #[must_use]
    pub fn at(addresses: Vec<Address>, client: Client, seed: u64) -> Self {
        Self::of(Who::Users(client), addresses, seed)
    }

    /// Guests of the guestbook that these serve.
    #[must_use]
    pub fn guests(regions: &Regions, seed: u64) -> Self {
        Self::of(Who::Guests, regions.addresses(), seed)
    }

    fn of(who: Who, addresses: Vec<Address>, seed: u64) -> Self {
        let (stopped, gate) = (AtomicBool::new(false), RwLock::new(()));
        Self { addresses, who, seed, stopped, answered: AtomicUsize::new(0), unknown: AtomicUsize::new(0), gate }
    }

    /// Lets them go on until `script` is over, and returns what they were told, session by session.
    pub async fn run<T>(&self, script: impl Future<Output = T>) -> (Vec<Call>, T) {
        let (start, keys) = (Instant::now(), Keys::default());
        let mut seeds = StdRng::seed_from_u64(self.seed);
        let count = match self.who {
            Who::Users(_) => SESSIONS,
            Who::Guests => GUESTS,
        };
        let users = (0..count).map(|session| {
            let random = StdRng::seed_from_u64(seeds.random());
            let user = match self.who {
                Who::Users(client) => Somebody::User(User::new(session, client, random)),
                Who::Guests => Somebody::Guest(Guest::new(session, random)),
            };
            let thinking = StdRng::seed_from_u64(seeds.random());
            self.go_on(user, thinking, &keys, start)
        });
        let script = async {
            let outcome = script.await;
            self.stopped.store(true, Ordering::Relaxed);
            outcome
        };
        let (calls, outcome) = futures::join!(join_all(users), script);
        (calls.concat(), outcome)
    }

    async fn go_on(&self, mut user: Somebody, mut thinking: StdRng, keys: &Keys, start: Instant) -> Vec<Call> {
        let mut calls = Vec::new();
        while !self.stopped.load(Ordering::Relaxed) {
            {
                let _open = self.gate.read().await;
                let new = match &mut user {
                    Somebody::User(user) => user.go_on(&self.addresses, keys, start).await,
                    Somebody::Guest(guest) => guest.go_on(&self.addresses, start).await,
                };
                let unknown = new.iter().filter(|call| call.was_unknown()).count();
                self.unknown.fetch_add(unknown, Ordering::Relaxed);
                calls.extend(new);
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(thinking.random_range(0..=THINKING_MS))).await;
        }
        calls
    }

    /// How many requests are over.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Of how many writes the outcome is unknown, or was before the client sent them again.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown.load(Ordering::Relaxed)
    }

    /// Waits until no request is on its way, and lets none begin while this is held.
    pub async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }
}
