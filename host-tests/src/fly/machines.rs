//! The Machines, and which of them a request is tried on first.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::distances::Distances;
use super::route::{InstanceId, Route};

/// What the proxy finds when it routes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The Machine takes requests, if its server does.
    Started,
    /// Not to be routed to.
    Stopped,
    /// Routed to, but nothing gets there.
    CutOff,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) id: InstanceId,
    pub(super) region: String,
    pub(super) address: SocketAddr,
    pub(super) state: State,
    /// When its turn was, in requests.
    last_turn: u64,
}

#[derive(Default)]
pub(super) struct Machines {
    list: Mutex<Vec<Machine>>,
}

impl Machines {
    pub(super) fn add(&self, region: &str, address: SocketAddr) -> InstanceId {
        let mut list = self.lock();
        // As long as Fly's.
        let id = InstanceId::from(format!("9080167{:07x}", list.len() + 1).as_str());
        let state = State::Started;
        list.push(Machine { id: id.clone(), region: region.to_owned(), address, state, last_turn: 0 });
        id
    }

    /// Whether there is such a Machine.
    pub(super) fn set(&self, instance: &InstanceId, state: State) -> bool {
        let mut list = self.lock();
        let machine = list.iter_mut().find(|machine| machine.id == *instance);
        machine.map(|machine| machine.state = state).is_some()
    }

    /// Those that a request may go to, best first: as the route says, then the nearest to `edge`, then in turn.
    pub(super) fn candidates(&self, route: &Route, edge: &str, distances: &Distances) -> Vec<Machine> {
        let list = self.lock();
        let started = list.iter().filter(|machine| machine.state != State::Stopped);
        let mut candidates: Vec<_> = started
            .filter_map(|machine| {
                let preference = route.preference(&machine.id, &machine.region)?;
                Some(((preference, distances.between(edge, &machine.region), machine.last_turn), machine.clone()))
            })
            .collect();
        candidates.sort_by_key(|(order, _)| *order);
        candidates.into_iter().map(|(_, machine)| machine).collect()
    }

    /// A request goes to this one: others in its place have their turn next.
    pub(super) fn take_turn(&self, instance: &InstanceId) {
        let mut list = self.lock();
        let last = list.iter().map(|machine| machine.last_turn).max().unwrap_or_default();
        if let Some(machine) = list.iter_mut().find(|machine| machine.id == *instance) {
            machine.last_turn = last + 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Machine>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
