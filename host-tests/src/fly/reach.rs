//! Finding a Machine for a request, and getting a connection to it.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::machines::{Machine, State};
use super::network::Network;
use super::refusal::{Code, Refusal};
use super::route::{InstanceId, Route};
use super::trace::Reason;

/// "up to 90 retries are attempted" (docs.fly.io, PR03).
const RETRIES: u32 = 90;

/// How many Machines that swallow everything are tried in a row. Fly does not say how long it waits for one.
const UNANSWERED: u32 = 3;

/// No Machine was reached.
pub(super) struct Unreached {
    pub(super) reason: Reason,
    pub(super) refusal: Refusal,
    /// The one tried last.
    pub(super) machine: Option<Machine>,
}

impl Unreached {
    pub(super) fn instance(&self) -> Option<&InstanceId> {
        self.machine.as_ref().map(|machine| &machine.id)
    }
}

/// Tries the candidates in order, again and again, until one takes the connection or the time is up: the proxy's own, or
/// less where a replay says so.
pub(super) async fn reach(
    network: &Network,
    edge: &str,
    route: &Route,
    limit: Option<Duration>,
) -> Result<(Machine, TcpStream), Unreached> {
    let give_up_after = network.settings.give_up_after;
    let end = Instant::now() + limit.map_or(give_up_after, |limit| limit.min(give_up_after));
    let mut last = (None, None);
    loop {
        let candidates = network.machines.candidates(route, edge, &network.distances());
        if candidates.is_empty() {
            last = (None, None);
        }
        let none = candidates.is_empty();
        for machine in candidates {
            network.machines.take_turn(&machine.id);
            let attempt =
                timeout_at(end.min(Instant::now() + give_up_after / UNANSWERED), connect(network, edge, &machine));
            last = match attempt.await {
                Ok(Ok(stream)) => return Ok((machine, stream)),
                Ok(Err(error)) => (Some(machine), Some(error)),
                Err(_) => (Some(machine), last.1),
            };
            if Instant::now() >= end {
                break;
            }
        }
        let next = Instant::now() + give_up_after / RETRIES;
        if next < end {
            sleep_until(next).await;
            continue;
        }
        sleep_until(end).await;
        let (machine, error) = last;
        let reason = match limit {
            _ if none => Reason::NoCandidate,
            Some(limit) if limit < give_up_after => Reason::Timeout,
            Some(_) | None => Reason::RetriesExhausted,
        };
        let refusal = match error {
            _ if none => Refusal::new(Code::Pr01, "no known healthy instances found for route"),
            Some(error) => Refusal::new(Code::Pr03, format!("no candidate was reached; last error: {error}")),
            None => Refusal::new(Code::Pr04, "no candidate was reached"),
        };
        return Err(Unreached { reason, refusal, machine });
    }
}

async fn connect(network: &Network, edge: &str, machine: &Machine) -> std::io::Result<TcpStream> {
    sleep(network.delay(edge, &machine.region)).await;
    if machine.state == State::CutOff {
        return std::future::pending().await;
    }
    let stream = TcpStream::connect(machine.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
