//! All of the lab: the databases, a Machine in each region, the imitated proxy of Fly in front, and what can be changed while
//! it runs.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use host_tests::fly::{Distances, Fly};
use host_tests::machine::{Host, Machine};
use host_tests::postgres::{Cluster, Server};
use tokio::sync::watch;

use crate::application::{Application, Replicas, Schema, build, environment};
use crate::options::{Options, host};
use crate::place::{Place, own_address};
use crate::regions::{REGIONS, REPLICAS};
use crate::step;

/// What is served, and with what.
pub(crate) struct Plan {
    pub(crate) host: Host,
    application: Application,
    environment: Vec<(String, String)>,
    schema: Option<Schema>,
    distance: f64,
    lag: Duration,
}

impl Plan {
    /// Finds what is wrong before anything is started.
    pub(crate) fn of(options: &Options, lag: Duration) -> Result<Self> {
        let application = Application::read(options.app.as_deref())?;
        let schema = options.schema.as_deref().map(Schema::read).transpose()?;
        let (host, environment) = (host(options.spin.clone())?, environment());
        let is_usual = || REGIONS.into_iter().all(|region| own_address(region).is_some());
        let replicas =
            if host.knows_private_names() || is_usual() { Replicas::OnTheirPort } else { Replicas::OnAnyPort };
        application.check_for(&host, &environment, replicas)?;
        Ok(Self { host, application, environment, schema, distance: options.distance, lag })
    }

    pub(crate) fn is_recipe(&self) -> bool {
        self.application.is_recipe
    }

    /// Builds the app.
    pub(crate) async fn build(&self) -> Result<()> {
        build(&self.host, &self.application.manifest).await
    }
}

/// What can be changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Knobs {
    /// How much later than the primary the replicas replay.
    pub(crate) lag: Duration,
    /// How many times farther than they are the regions are from each other.
    pub(crate) distance: f64,
    /// Requests per second in each region.
    pub(crate) load: u32,
}

/// The lab. Its parts end in the order in which they stand here.
pub(crate) struct Lab {
    fly: Fly,
    edges: Vec<(&'static str, SocketAddr)>,
    places: Vec<Place>,
    cluster: Cluster,
    knobs: watch::Sender<Knobs>,
    /// When somebody last asked for something.
    touched: Mutex<Instant>,
    /// The app's name.
    pub(crate) app: String,
}

/// Requests per second in each region, until somebody wants more or fewer.
const LOAD: u32 = 5;

impl Lab {
    /// Starts all of it; an edge listens at each of these addresses, in the order of the regions, or on free ports.
    pub(crate) async fn start(plan: &Plan, listen: &[SocketAddr]) -> Result<Self> {
        step("3/4 starting PostgreSQL: a primary in sjc, replicas in fra and syd (a few seconds)");
        let cluster = Cluster::start(&REPLICAS).await?;
        if let Some(schema) = &plan.schema {
            run(schema, cluster.primary()).await?;
        }
        let fly = Fly::new(Distances::estimated());
        let (mut places, mut edges) = (Vec::new(), Vec::new());
        for (index, region) in REGIONS.into_iter().enumerate() {
            step(&format!("4/4 starting a Machine in {region}"));
            let place = Place::start(region, &cluster, &plan.application, &plan.environment, &plan.host).await?;
            fly.add_machine(region, place.machine.address())?;
            let free = SocketAddr::from(([127, 0, 0, 1], 0));
            edges.push((region, fly.start_edge_at(region, listen.get(index).copied().unwrap_or(free)).await?));
            places.push(place);
        }
        let knobs = Knobs { lag: Duration::ZERO, distance: 1.0, load: LOAD };
        let lab = Self {
            fly,
            edges,
            places,
            cluster,
            knobs: watch::Sender::new(knobs),
            touched: Mutex::new(Instant::now()),
            app: plan.application.name().to_owned(),
        };
        lab.set_distance(plan.distance);
        if plan.lag > Duration::ZERO {
            lab.set_lag(plan.lag)?;
        }
        Ok(lab)
    }

    pub(crate) fn fly(&self) -> &Fly {
        &self.fly
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(crate) fn place(&self, region: &str) -> Option<&Place> {
        self.places.iter().find(|place| place.region == region)
    }

    /// Where clients near a region connect.
    pub(crate) fn edge(&self, region: &str) -> SocketAddr {
        self.edges.iter().find(|(name, _)| *name == region).expect("each region has an edge").1
    }

    pub(crate) fn knobs(&self) -> watch::Receiver<Knobs> {
        self.knobs.subscribe()
    }

    pub(crate) fn machines(&self) -> impl Iterator<Item = (&'static str, &Machine)> {
        self.places.iter().map(|place| (place.region, &place.machine))
    }

    /// Somebody is there.
    pub(crate) fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// For how long nobody has asked for anything.
    pub(crate) fn left_alone(&self) -> Duration {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(crate) fn set_load(&self, load: u32) {
        self.knobs.send_modify(|knobs| knobs.load = load);
    }

    pub(crate) fn set_distance(&self, scale: f64) {
        self.fly.scale(scale);
        let distances = self.fly.distances();
        self.places.iter().for_each(|place| place.set_distances(&distances));
        self.knobs.send_modify(|knobs| knobs.distance = scale);
    }

    /// Every server replays that much later, once it is a replica.
    pub(crate) fn set_lag(&self, lag: Duration) -> Result<()> {
        for server in self.cluster.servers() {
            // A server that is down, or hangs, reads it when it comes back.
            server.configure(&[("recovery_min_apply_delay", &format!("{}ms", lag.as_millis()))])?;
            if server.is_running() {
                server.signal(nix::sys::signal::Signal::SIGHUP)?;
            }
        }
        self.knobs.send_modify(|knobs| knobs.lag = lag);
        Ok(())
    }

    /// The replica of a region becomes the primary, and the address of the primary leads there.
    pub(crate) async fn promote(&self, region: &str) -> Result<()> {
        let outcome = self.cluster.promote(region).await;
        // Also where something has failed behind it.
        if self.leads(region) {
            self.places.iter().for_each(|place| place.lead_to(region));
        }
        outcome
    }

    /// Whether a region's server is the primary.
    pub(crate) fn leads(&self, region: &str) -> bool {
        self.cluster.primary().name() == region
    }
}

async fn run(schema: &Schema, primary: &Server) -> Result<()> {
    let client = primary.connect().await?;
    client.batch_execute(schema.text()).await.map_err(|error| schema.error(&error))
}
