//! What the page can ask for, and how it is done.

use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host_tests::fault::Fault;
use host_tests::postgres::Server;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::lab::Lab;
use crate::load::MOST;
use crate::options::{DISTANCES, LONGEST_LAG};
use crate::regions::region;
use crate::visitor::{HandRequest, Visitor};

/// One command.
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
    Send(HandRequest),
    /// The visitor's cookies are thrown away.
    Forget,
}

/// Carries commands out.
pub(crate) struct Commands<'a> {
    lab: &'a Lab,
    visitor: Visitor,
    /// What is being done to a server: a server that is being promoted is not killed meanwhile.
    under_way: Mutex<Option<String>>,
}

/// For as long as it is under way.
struct UnderWay<'a>(&'a Mutex<Option<String>>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl<'a> Commands<'a> {
    pub(crate) fn new(lab: &'a Lab) -> Self {
        Self { lab, visitor: Visitor::default(), under_way: Mutex::default() }
    }

    pub(crate) async fn carry_out(&self, command: Command) -> Result<Value> {
        self.lab.touch();
        match command {
            Command::Send(request) => {
                let edge = self.lab.edge(known(&request.region)?);
                return Ok(serde_json::to_value(self.visitor.send(edge, &request).await?)?);
            }
            Command::Forget => self.visitor.forget(),
            Command::Distance { scale } => self.lab.set_distance(bounded(scale, DISTANCES, "a distance")?),
            Command::Load { rate } => self.lab.set_load(bounded(rate, 0..=MOST, "a load")?),
            Command::Lag { ms } => {
                let longest = LONGEST_LAG.as_secs() * 1_000;
                let lag = Duration::from_millis(bounded(ms, 0..=longest, "a lag in ms")?);
                // It is written into the servers' folders, which a restart may copy.
                let _under_way = self.begin("lag".to_owned())?;
                self.lab.set_lag(lag)?;
            }
            Command::Cut { region, database } => self.link(&region, &database, Wanted::Cut)?,
            Command::Mend { region, database } => self.link(&region, &database, Wanted::Open)?,
            Command::Kill { database } => self.alone("kill", &database)?.1.crash()?,
            Command::Hang { database } => self.alone("hang", &database)?.1.signal_all(Signal::SIGSTOP)?,
            Command::Wake { database } => self.alone("wake", &database)?.1.signal_all(Signal::SIGCONT)?,
            Command::Restart { database } => {
                let (_under_way, server) = self.alone("restart", &database)?;
                server.crash()?;
                self.lab.cluster().start_again(server.name()).await?;
            }
            Command::Promote { database } => {
                let (_under_way, server) = self.alone("promote", &database)?;
                self.lab.promote(server.name()).await?;
            }
            Command::Pause { database } => self.replica("pause", &database)?.1.pause_replay().await?,
            Command::Resume { database } => self.replica("resume", &database)?.1.resume_replay().await?,
        }
        Ok(Value::Object(serde_json::Map::new()))
    }

    /// A server to which nothing else is done.
    fn alone(&self, what: &str, database: &str) -> Result<(UnderWay<'_>, &Server)> {
        let server = self.lab.cluster().server(known(database)?);
        Ok((self.begin(format!("{what} {database}"))?, server))
    }

    fn begin(&self, what: String) -> Result<UnderWay<'_>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = &*under_way {
            bail!("the lab is still busy ({other}): ask again when that is done");
        }
        *under_way = Some(what);
        Ok(UnderWay(&self.under_way))
    }

    fn replica(&self, what: &str, database: &str) -> Result<(UnderWay<'_>, &Server)> {
        let found = self.alone(what, database)?;
        ensure!(!self.lab.leads(found.1.name()), "`{database}` is the primary: it replays nothing");
        Ok(found)
    }

    fn link(&self, from: &str, to: &str, wanted: Wanted) -> Result<()> {
        let place = self.lab.place(known(from)?).context("each region has a Machine")?;
        let link = place.link(known(to)?).context("each Machine has a link to each database")?;
        match wanted {
            Wanted::Cut => link.proxy.set(Fault::Refuse),
            Wanted::Open => place.open(link, &self.lab.fly().distances()),
        }
        Ok(())
    }
}

/// What becomes of a link.
enum Wanted {
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
    fn a_command_has_a_name_and_what_it_needs() {
        assert!(
            matches!(parse(r#"{"do": "kill", "database": "fra"}"#), Ok(Command::Kill { database }) if database == "fra")
        );
        assert!(matches!(parse(r#"{"do": "forget"}"#), Ok(Command::Forget)));
        let send = r#"{"do": "send", "region": "fra", "method": "GET", "path": "/"}"#;
        assert!(matches!(parse(send), Ok(Command::Send(request)) if request.region == "fra"));
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
