//! One request, from the client to the Machine that answers it: routed, replayed, fallen back or refused.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::body::{Body, RequestBody, Task, response_body};
use super::headers::set;
use super::machines::Machine;
use super::network::{Network, TimeoutCovers};
use super::reach::{Unreached, reach};
use super::refusal::{Code, Refusal};
use super::replay::{Fallback, Replay};
use super::route::{InstanceId, Route};
use super::trace::{Hop, Reason, Why};

/// "it may issue another `fly-replay`, up to 10 times" (docs.fly.io, PA02).
const REPLAYS: usize = 10;

/// A request under way, seen from its edge.
pub(super) struct Forwarding<'a> {
    network: &'a Network,
    edge: &'a str,
    id: &'a str,
    upgrade: bool,
    replays: usize,
}

/// Where the request goes next, and as what.
struct NextHop {
    route: Route,
    headers: HeaderMap,
    why: Why,
    /// What was asked for, where this is a replay.
    replay: Option<Replayed>,
}

/// A replay, and to whom it falls back.
struct Replayed {
    replay: Replay,
    from: InstanceId,
    /// With which that Machine got the request.
    headers: HeaderMap,
}

/// Why a hop failed.
enum Failure {
    /// Which a fallback is for.
    Unreached(Unreached),
    Refused(Refusal),
}

impl<'a> Forwarding<'a> {
    pub(super) fn new(network: &'a Network, edge: &'a str, id: &'a str, upgrade: bool) -> Self {
        Self { network, edge, id, upgrade, replays: 0 }
    }

    pub(super) fn replays(&self) -> usize {
        self.replays
    }

    pub(super) async fn run(&mut self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let (parts, body) = request.into_parts();
        let mut body = RequestBody::new(body);
        let route = Route::of_client(&parts.headers);
        let mut hop = NextHop { route, headers: parts.headers.clone(), why: Why::Routed, replay: None };
        loop {
            let started = Instant::now();
            hop = match self.send(&parts, &hop, &mut body).await {
                Ok((machine, response)) => match Replay::of(response.headers())? {
                    None => return Ok(response),
                    Some(replay) => self.replay(replay, &machine, hop)?,
                },
                Err(Failure::Unreached(unreached)) => fall_back(&unreached, hop, started.elapsed())?,
                Err(Failure::Refused(refusal)) => return Err(refusal),
            };
        }
    }

    /// The answer as it arrives at the edge.
    async fn send(
        &self,
        parts: &Parts,
        hop: &NextHop,
        body: &mut RequestBody,
    ) -> Result<(Machine, Response<Body>), Failure> {
        let limit = hop.replay.as_ref().and_then(|replayed| replayed.replay.timeout);
        let started = Instant::now();
        let again = match hop.why {
            Why::Routed => None,
            Why::Replayed { .. } | Why::FellBack(_) => Some(body.again().await.ok_or_else(|| {
                Failure::Refused(Refusal::new(Code::Pa01, "the body is too long to be kept for a replay"))
            })?),
        };
        let reached = reach(self.network, self.edge, &hop.route, limit).await;
        let (machine, stream) = reached.map_err(|unreached| {
            if let Some(machine) = &unreached.machine {
                self.note(hop, machine, None);
            }
            Failure::Unreached(unreached)
        })?;
        let distance = self.network.delay(self.edge, &machine.region);
        let mut request = Request::new(again.unwrap_or_else(|| body.live(distance)));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = parts.uri.path_and_query().map_or(Uri::default(), |path| path.clone().into());
        *request.headers_mut() = hop.headers.clone();
        if let Some(other) = hop.route.unavailable(&machine.id) {
            set(request.headers_mut(), "fly-preferred-instance-unavailable", &other.to_string());
        }
        let answer = exchange(stream, request);
        let answer = match (limit, self.network.settings.timeout_covers) {
            (Some(limit), TimeoutCovers::Answering) => timeout_at(started + limit, answer).await,
            (Some(_), TimeoutCovers::Reaching) | (None, _) => Ok(answer.await),
        };
        self.note(hop, &machine, answer.as_ref().ok().and_then(|answer| Some(answer.as_ref().ok()?.0.status())));
        match answer {
            Ok(Ok((response, _))) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failure::Refused(Refusal::new(Code::Pu02, "an upgraded connection is not carried")))
            }
            Ok(Ok((response, connection))) => {
                let answered = Instant::now();
                let owned = (connection, body.reading());
                let response = response.map(|answer| response_body(answer, distance, owned));
                sleep_until(answered + distance).await;
                Ok((machine, response))
            }
            Ok(Err(error)) => {
                let why = format!("could not complete the request to {}: {error}", machine.id);
                Err(Failure::Refused(Refusal::new(Code::Pu02, why)))
            }
            Err(_) => {
                let refusal = Refusal::new(Code::Pr04, "the `timeout` of the replay is over");
                Err(Failure::Unreached(Unreached { reason: Reason::Timeout, refusal, machine: Some(machine) }))
            }
        }
    }

    fn note(&self, hop: &NextHop, machine: &Machine, answer: Option<StatusCode>) {
        let (region, instance) = (machine.region.clone(), machine.id.clone());
        self.network.trace.add(self.id, Hop { region, instance, why: hop.why.clone(), answer });
    }

    /// The next hop after an answer with `fly-replay`.
    fn replay(&mut self, replay: Replay, machine: &Machine, hop: NextHop) -> Result<NextHop, Refusal> {
        if matches!(hop.why, Why::FellBack(_)) {
            // Documented as not possible, without a code.
            return Err(Refusal::new(Code::Pa03, "the answer to a fallback is a `fly-replay`"));
        }
        if self.upgrade {
            // The app that answers an upgrade may ask for a replay; this imitation carries no upgraded connection.
            return Err(Refusal::new(Code::Pa03, "a WebSocket is not replayed"));
        }
        if self.replays == REPLAYS {
            return Err(Refusal::new(Code::Pa02, "`fly-replay` was returned too many times"));
        }
        self.replays += 1;
        let mut headers = hop.headers.clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Assumed: in the place of a forged or an earlier one.
        set(&mut headers, "fly-replay-src", &replay.source(&machine.id, &machine.region, now));
        Ok(NextHop {
            route: replay.route(&machine.id),
            headers,
            why: Why::Replayed { from: machine.id.clone(), state: replay.state.clone() },
            replay: Some(Replayed { replay, from: machine.id.clone(), headers: hop.headers }),
        })
    }
}

/// One request on a connection of its own. What breaks here is not tried again: the Machine may have done the work.
async fn exchange(stream: TcpStream, request: Request<Body>) -> Result<(Response<Incoming>, Task), hyper::Error> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = Task::spawn(async move { drop(connection.await) });
    let response = sender.send_request(request).await?;
    Ok((response, connection))
}

/// The next hop after a replay that did not reach a Machine.
fn fall_back(unreached: &Unreached, hop: NextHop, elapsed: Duration) -> Result<NextHop, Refusal> {
    let Some((Replayed { replay, from, mut headers }, fallback)) =
        hop.replay.and_then(|replayed| replayed.replay.fallback.map(|fallback| (replayed, fallback)))
    else {
        return Err(unreached.refusal.clone());
    };
    let failed = replay.failed(unreached.instance(), &from, unreached.reason, elapsed);
    set(&mut headers, "fly-replay-failed", &failed);
    let route = match fallback {
        Fallback::ForceSelf => Route::only(from),
        Fallback::PreferSelf => Route::rather(from),
    };
    Ok(NextHop { route, headers, why: Why::FellBack(unreached.reason), replay: None })
}
