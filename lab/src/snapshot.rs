//! What the page shows: everything at one moment, as JSON.

use std::time::{Duration, Instant};

use host_tests::counting_proxy::MessageCounts;
use host_tests::postgres::PRIMARY;
use serde::Serialize;

use crate::databases::{Database, Databases};
use crate::lab::Lab;
use crate::load::{MOST, Phase};
use crate::options::{DISTANCES, LONGEST_LAG};
use crate::requests::{Rates, Requests, Shown, ms};

#[derive(Serialize)]
struct Snapshot {
    app: String,
    host: &'static str,
    primary_region: &'static str,
    lag_ms: u64,
    distance: f64,
    load: u32,
    phase: Phase,
    limits: Limits,
    regions: Vec<Region>,
    databases: Vec<Database>,
    requests: Vec<Shown>,
}

#[derive(Serialize)]
struct Limits {
    lag_ms: u64,
    distance: f64,
    load: u32,
}

#[derive(Serialize)]
struct Region {
    name: &'static str,
    url: String,
    #[serde(flatten)]
    rates: Rates,
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Link {
    to: &'static str,
    cut: bool,
    one_way_ms: f64,
    /// Round trips to the database, for each second.
    round_trips: f64,
}

/// Makes one after the other, for what goes by the time since the last one.
pub(crate) struct Snapshots<'a> {
    lab: &'a Lab,
    databases: Databases,
    requests: Requests,
    host: &'static str,
    last: (Instant, Vec<Vec<MessageCounts>>),
}

impl<'a> Snapshots<'a> {
    pub(crate) fn new(lab: &'a Lab, databases: Databases, requests: Requests, host: &'static str) -> Self {
        Self { lab, databases, requests, host, last: (Instant::now(), counts(lab)) }
    }

    pub(crate) fn next(&mut self, phase: Phase) -> serde_json::Result<String> {
        let (now, counts) = (Instant::now(), counts(self.lab));
        let elapsed = now.duration_since(self.last.0).max(Duration::from_millis(1)).as_secs_f64();
        let knobs = *self.lab.knobs().borrow();
        let distances = self.lab.fly().distances();
        let places = self.lab.places().iter().zip(counts.iter().zip(&self.last.1));
        let regions = places.map(|(place, (counts, before))| {
            let links = place.links().iter().zip(counts.iter().zip(before));
            let links = links.map(|(link, (count, before))| Link {
                to: link.to,
                cut: link.is_cut(),
                one_way_ms: ms(distances.delay(place.region, link.to)),
                round_trips: count.since(*before).round_trips as f64 / elapsed,
            });
            Region {
                name: place.region,
                url: format!("http://{}/", self.lab.edge(place.region)),
                rates: self.requests.rates(place.region, now),
                links: links.collect(),
            }
        });
        let snapshot = Snapshot {
            app: self.lab.app.clone(),
            host: self.host,
            primary_region: PRIMARY,
            lag_ms: millis(knobs.lag),
            distance: knobs.distance,
            load: knobs.load,
            phase,
            limits: Limits { lag_ms: millis(LONGEST_LAG), distance: *DISTANCES.end(), load: MOST },
            regions: regions.collect(),
            databases: self.databases.now(),
            requests: self.requests.last(),
        };
        let text = serde_json::to_string(&snapshot)?;
        self.last = (now, counts);
        Ok(text)
    }
}

fn counts(lab: &Lab) -> Vec<Vec<MessageCounts>> {
    lab.places().iter().map(|place| place.links().iter().map(|link| link.proxy.counts()).collect()).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
