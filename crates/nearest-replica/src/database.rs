//! The database of a component, for the life of an instance: candidates, connections, what is known about each, and the
//! log.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::instance::config;
use crate::instance::target::role;
use crate::log;
use crate::outcome::{Answer, Attempt, NoAnswer};
use crate::problem::Problem;
use crate::read::{Reader, Scope};
use crate::rules::allowed_host::not_allowed;
use crate::rules::budget::answer_by;
use crate::rules::candidates::{CandidateKind, why_no_replica};
use crate::rules::config::Config;
use crate::rules::error::ConfigError;
use crate::rules::failure::Failure;
use crate::rules::replay::{REPLAY_HEADER, Replay, replay};
use crate::rules::role::Role;
use crate::spin::postgres::Connection;

/// Between two log lines about detours of an instance.
const DETOURS_LOGGED_EVERY: Duration = Duration::from_secs(10);

thread_local! {
    /// Spin gives an instance many requests, but may end it at any time.
    static DATABASE: RefCell<Option<Database>> = const { RefCell::new(None) };
}

/// The databases of this component: the primary and what replicas it can read from. Clones share everything.
///
/// It writes a line to standard error for each request that did not get its answer from the first candidate.
#[derive(Clone)]
pub struct Database(Rc<Reader>);

impl Database {
    /// The one of this instance, made from Spin's variables at its first request: `database_url`, `primary_region`,
    /// `fly_region`, `replica_port`, `deadline_ms`, `lease_ms`. `started` is the moment at which the request came in; its
    /// deadline bounds how long the variables may take.
    ///
    /// # Errors
    /// [`Problem::Misconfigured`] names the first variable that cannot be resolved in time or makes no sense.
    pub async fn of_instance(started: Instant) -> Result<Self, Problem> {
        if let Some(database) = DATABASE.with_borrow(Clone::clone) {
            return Ok(database);
        }
        let config = config::load(started).await.map_err(misconfigured)?;
        let database = Self::new(config).await;
        Ok(DATABASE.with_borrow_mut(|slot| match slot {
            // Another request came first while this one waited.
            Some(first) => first.clone(),
            None => {
                database.log_no_replica();
                slot.insert(database).clone()
            }
        }))
    }

    /// One for a configuration of your own, to be kept for the life of the instance.
    pub async fn new(config: Config) -> Self {
        Self(Reader::new(config).await)
    }

    /// The configuration it was made for.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Whether to hand a request that writes back to Fly's proxy, to be replayed in the primary region: the name and value
    /// of the header to answer with, at once and without anything else. `header` looks up a header of the request by its
    /// name in lower case. Nothing where it cannot be replayed: then write here, over the distance.
    ///
    /// Fly's proxy takes such an answer with any status; 409 is what its documentation writes.
    ///
    /// # Errors
    /// [`Problem::OutcomeUnknown`] where the request was replayed, and Fly takes that for failed though it may have run: write
    /// nothing, and let the user's bookmark know of it ([`Session::note_write`](crate::Session::note_write) with
    /// [`Written::Uncertain`](crate::Written::Uncertain)).
    pub fn replay<T: AsRef<str>>(
        &self,
        method: &str,
        header: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<(&'static str, String)>, Problem> {
        let has_body = ["POST", "PUT", "PATCH"].contains(&method);
        match replay(self.config(), has_body, header) {
            Replay::Ask(value) => Ok(Some((REPLAY_HEADER, value))),
            Replay::RunHere => Ok(None),
            Replay::MayHaveRun => {
                let failure = Failure::Lost("Fly takes its replay for failed, and it may have run".to_owned());
                let attempt = Attempt { kind: CandidateKind::Configured, failure };
                let problem = Problem::OutcomeUnknown(NoAnswer { tried: vec![attempt] });
                self.log_problem(&problem, Instant::now());
                Err(problem)
            }
        }
    }

    /// The role of the best database that answers before the deadline, in two round trips: the cheapest way to see that
    /// there is one.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] when no candidate answered in time, [`Problem::Misconfigured`] when Spin may not connect to
    /// any of them.
    pub async fn role(&self, started: Instant) -> Result<Answer<Role>, Problem> {
        let began = Instant::now();
        let end = answer_by(started, self.config().deadline);
        let run = async |_, connection: &Connection| role(connection).await;
        let answer = self.0.answer(end, Scope::Any, run).await.map_err(|no_answer| self.problem(no_answer, began))?;
        self.log_fallback(&answer, Some(answer.value), began);
        self.log_role_mismatch(answer.kind, answer.value);
        Ok(answer)
    }

    pub(crate) fn reader(&self) -> &Rc<Reader> {
        &self.0
    }

    /// Logs why there was no answer, and makes it a problem.
    pub(crate) fn problem(&self, no_answer: NoAnswer, began: Instant) -> Problem {
        if no_answer.is_not_permitted() {
            let candidates = self.0.targets.iter().map(|target| &target.candidate);
            let error = not_allowed(self.config(), candidates);
            log::line("misconfigured", self.config(), &[("reason", &error), ("tried", &no_answer)]);
            return Problem::Misconfigured(error);
        }
        let problem = Problem::from(no_answer);
        self.log_problem(&problem, began);
        problem
    }

    pub(crate) fn log_problem(&self, problem: &Problem, began: Instant) {
        let ms = log::milliseconds(began.elapsed());
        log::line(problem.name(), self.config(), &[("ms", &ms), ("tried", problem)]);
    }

    /// Logs why a request that reads belongs in the primary region; not for each of those that follow.
    pub(crate) fn log_detour(&self, no_answer: &NoAnswer) {
        let now = Instant::now();
        if self.0.detour_logged.get().is_none_or(|last| now.duration_since(last) >= DETOURS_LOGGED_EVERY) {
            self.0.detour_logged.set(Some(now));
            log::line("detour", self.config(), &[("tried", no_answer)]);
        }
    }

    /// The problem of a component whose app has the list of hosts, where Spin refuses to connect; logged once for each
    /// instance.
    pub(crate) fn not_permitted(&self, failure: &dyn Display) -> Problem {
        let error = ConfigError::new(
            "allowed_outbound_hosts",
            anyhow::anyhow!(
                "does not let Spin connect to the host of `database_url`: write it with its port and that of its replicas into \
                 `[component.<app>]`, and \"allowed_outbound_hosts\" into `inherit_configuration`"
            ),
        );
        if !self.0.not_permitted_logged.replace(true) {
            log::line("misconfigured", self.config(), &[("reason", &error), ("tried", failure)]);
        }
        Problem::Misconfigured(error)
    }

    /// Logs that a database does not say how far its log is, once for each instance.
    pub(crate) fn log_no_bookmarks(&self, failure: &Failure) {
        if !self.0.no_bookmarks_logged.replace(true) {
            log::line("no-bookmarks", self.config(), &[("reason", failure)]);
        }
    }

    pub(crate) fn log_fallback<T>(&self, answer: &Answer<T>, role: Option<Role>, began: Instant) {
        if answer.tried.is_empty() {
            return;
        }
        let (ms, tried) = (log::milliseconds(began.elapsed()), answer.describe());
        let mut fields: Vec<(&str, &dyn Display)> = vec![("candidate", &answer.kind), ("reason", &answer.reason)];
        fields.extend(role.as_ref().map(|role| -> (&str, &dyn Display) { ("role", role) }));
        fields.extend([("ms", &ms as &dyn Display), ("tried", &tried)]);
        log::line("fell-back", self.config(), &fields);
    }

    /// Logs why there can be no replica, where that is so.
    fn log_no_replica(&self) {
        if let Some(why) = why_no_replica(self.config()) {
            log::line("no-replica", self.config(), &[("reason", &why)]);
        }
    }

    /// Logs a database that has another role than its candidate should have, once for each instance.
    fn log_role_mismatch(&self, kind: CandidateKind, role: Role) {
        let target = self.0.targets.iter().find(|target| target.candidate.kind == kind);
        if let Some(target) = target
            && target.candidate.expected != role
            && !target.role_mismatch_logged.replace(true)
        {
            let expected = target.candidate.expected;
            log::line(
                "unexpected-role",
                self.config(),
                &[("candidate", &kind), ("role", &role), ("expected", &expected)],
            );
        }
    }
}

/// Logs what is wrong, where there is no configuration yet, and makes it a problem.
#[must_use]
pub fn misconfigured(error: ConfigError) -> Problem {
    log::write(format!("event=misconfigured reason={}", log::quoted(&error.to_string())));
    Problem::Misconfigured(error)
}
