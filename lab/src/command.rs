//! What the page can ask for, and how it is done.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use host_tests::fault::Fault;
use host_tests::postgres::Server;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::lab::Lab;
use crate::load::MOST;
use crate::options::{DISTANCES, LONGEST_LAG};
use crate::regions::region;
use crate::visitor::{Errand, Visitor};

/// One wish.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Command {
    /// The server ends without a word to anybody.
    Kill { database: String },
    /// Its processes stop where they are.
    Hang { database: String },
    /// They go on.
    Wake { database: String },
    /// It starts, again where it runs; one that was the primary comes back as a replica.
    Restart { database: String },
    /// A replica becomes the primary; the one there was is killed.
    Promote { database: String },
    /// Its replay stops.
    Pause { database: String },
    /// Its replay goes on.
    Resume { database: String },
    /// A region does not reach a database any more.
    Cut { region: String, database: String },
    /// It does again.
    Mend { region: String, database: String },
    /// All replicas replay that much later than the primary writes.
    Lag { ms: u64 },
    /// The regions are so many times farther from each other than they are.
    Distance { scale: f64 },
    /// Requests per second in each region.
    Load { rate: u32 },
    /// A request by hand.
    Send(Errand),
    /// The visitor's cookies are thrown away.
    Forget,
}

/// Carries wishes out.
pub(crate) struct Workshop<'a> {
    lab: &'a Lab,
    visitor: Visitor,
    /// One change is made after the other: a server that is being promoted is not killed meanwhile.
    turn: Mutex<()>,
}

impl<'a> Workshop<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Self {
        Self { lab, visitor: Visitor::default(), turn: Mutex::default() }
    }

    pub(crate) async fn carry_out(&self, command: Command) -> Result<Value> {
        self.lab.touch();
        if let Command::Send(errand) = &command {
            let reply = self.visitor.send(self.lab.edge(known(&errand.region)?), errand).await?;
            return Ok(serde_json::to_value(reply)?);
        }
        let _turn = self.turn.lock().await;
        self.change(command).await?;
        Ok(Value::Object(serde_json::Map::new()))
    }

    async fn change(&self, command: Command) -> Result<()> {
        match command {
            Command::Kill { database } => self.server(&database)?.end(Signal::SIGQUIT),
            Command::Hang { database } => self.server(&database)?.signal_all(Signal::SIGSTOP),
            Command::Wake { database } => self.server(&database)?.signal_all(Signal::SIGCONT),
            Command::Restart { database } => {
                let server = self.server(&database)?;
                if server.is_running() {
                    server.signal_all(Signal::SIGCONT)?;
                    server.end(Signal::SIGQUIT)?;
                }
                self.lab.cluster().start_again(known(&database)?).await
            }
            Command::Promote { database } => self.lab.promote(known(&database)?).await,
            Command::Pause { database } => self.replica(&database)?.pause_replay().await,
            Command::Resume { database } => self.replica(&database)?.resume_replay().await,
            Command::Cut { region, database } => self.link(&region, &database, Link::Cut),
            Command::Mend { region, database } => self.link(&region, &database, Link::Open),
            Command::Lag { ms } => {
                let longest = LONGEST_LAG.as_secs() * 1_000;
                self.lab.set_lag(Duration::from_millis(bounded(ms, 0..=longest, "a lag in ms")?)).await
            }
            Command::Distance { scale } => {
                self.lab.set_distance(bounded(scale, DISTANCES, "a distance")?);
                Ok(())
            }
            Command::Load { rate } => {
                self.lab.set_load(bounded(rate, 0..=MOST, "a load")?);
                Ok(())
            }
            Command::Forget => {
                self.visitor.forget();
                Ok(())
            }
            // It changes nothing here, and waits for nobody.
            Command::Send(_) => Ok(()),
        }
    }

    fn server(&self, database: &str) -> Result<&Server> {
        Ok(self.lab.cluster().server(known(database)?))
    }

    fn replica(&self, database: &str) -> Result<&Server> {
        let server = self.server(database)?;
        ensure!(!self.lab.leads(server.name()), "`{database}` is the primary: it replays nothing");
        Ok(server)
    }

    fn link(&self, from: &str, to: &str, wanted: Link) -> Result<()> {
        let place = self.lab.place(known(from)?).context("each region has a Machine")?;
        let link = place.link(known(to)?).context("each Machine has a link to each database")?;
        match wanted {
            Link::Cut => link.proxy.set(Fault::Refuse),
            Link::Open => place.open(link, &self.lab.distances_now()),
        }
        Ok(())
    }
}

enum Link {
    Cut,
    Open,
}

fn known(code: &str) -> Result<&'static str> {
    region(code).with_context(|| format!("there is no region `{code}`: write sjc, fra or syd"))
}

fn bounded<T: PartialOrd + std::fmt::Display>(value: T, range: RangeInclusive<T>, what: &str) -> Result<T> {
    ensure!(range.contains(&value), "{what} is from {} to {}", range.start(), range.end());
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Command, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wish_has_a_name_and_what_it_needs() {
        assert!(
            matches!(parse(r#"{"do": "kill", "database": "fra"}"#), Ok(Command::Kill { database }) if database == "fra")
        );
        assert!(matches!(parse(r#"{"do": "forget"}"#), Ok(Command::Forget)));
        let send = r#"{"do": "send", "region": "fra", "method": "GET", "path": "/"}"#;
        assert!(matches!(parse(send), Ok(Command::Send(errand)) if errand.region == "fra"));
        for bad in [r#"{"do": "drop"}"#, r#"{"do": "kill"}"#, r#"{"do": "lag", "ms": -1}"#, "{}"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        assert!(bounded(f64::NAN, DISTANCES, "a distance").is_err());
        assert_eq!(bounded(101, 0..=MOST, "a load").unwrap_err().to_string(), "a load is from 0 to 100");
        assert!(known("ams").unwrap_err().to_string().contains("write sjc, fra or syd"));
    }
}
