//! A region: its Machine, and the links from it to the databases.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use host_tests::counting_proxy::CountingProxy;
use host_tests::fault::{Fault, FaultProxy};
use host_tests::fly::Distances;
use host_tests::logs::Logs;
use host_tests::machine::{Host, Machine, Routes, Setup};
use host_tests::postgres::{Cluster, PRIMARY, USER};

use crate::application::{Application, Places, variables};
use crate::regions::{REGIONS, nearest};

/// On which Postgres listens, and on which each replica of a Fly cluster does.
const PORT: u16 = 5432;
const REPLICA_PORT: u16 = 5433;

/// The region. Its parts end in the order in which they stand here.
pub(crate) struct Place {
    pub(crate) region: &'static str,
    pub(crate) machine: Machine,
    /// The address of the primary, wherever that is: a way to one of the links.
    configured: FaultProxy,
    /// An address of the region's own for its databases, on Postgres' usual ports, for a real Spin.
    _doors: Vec<FaultProxy>,
    links: Vec<Link>,
}

/// From a Machine to one database.
pub(crate) struct Link {
    /// The region of the database.
    pub(crate) to: &'static str,
    pub(crate) proxy: CountingProxy,
}

impl Link {
    pub(crate) fn is_cut(&self) -> bool {
        self.proxy.fault() == Fault::Refuse
    }
}

impl Place {
    pub(crate) async fn start(
        region: &'static str,
        cluster: &Cluster,
        application: &Application,
        environment: &[(String, String)],
        host: &Host,
    ) -> Result<Self> {
        let mut links = Vec::new();
        for to in REGIONS {
            links.push(Link { to, proxy: CountingProxy::before(cluster.server(to).address()).await? });
        }
        let at = |to: &str| links.iter().find(|link| link.to == to).expect("there is one to each").proxy.address();
        let configured = FaultProxy::before(at(PRIMARY)).await?;
        let routes = Routes {
            configured: configured.address(),
            local: at(region),
            nearest: Some(at(nearest(region))),
            private: links.iter().map(|link| (link.to.to_owned(), link.proxy.address())).collect(),
        };
        let (mut setup, doors) = setup(region, &routes, application, host).await?;
        setup.logs = Logs::echoing(region);
        if !application.is_recipe {
            setup.manifest = Some(application.manifest.clone());
        }
        let places = places(region, &routes, &setup.environment);
        // An app may call its variables as other tools do.
        let own = [("SPIN_VARIABLE_DATABASE_URL", &places["url"]), ("SPIN_VARIABLE_FLY_REGION", &places["region"])];
        setup.environment.extend(own.map(|(name, value)| (name.to_owned(), value.clone())));
        setup.environment.extend(variables(environment, &places));
        Ok(Self { region, machine: Machine::start(host, setup).await?, configured, _doors: doors, links })
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    pub(crate) fn link(&self, to: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.to == to)
    }

    /// The address of the primary leads to this region's server from now on.
    pub(crate) fn lead_to(&self, primary: &str) {
        if let Some(link) = self.link(primary) {
            self.configured.lead_to(link.proxy.address());
        }
    }

    /// The links that are not cut are as long as these distances say.
    pub(crate) fn set_distances(&self, distances: &Distances) {
        self.links.iter().filter(|link| !link.is_cut()).for_each(|link| self.open(link, distances));
    }

    pub(crate) fn open(&self, link: &Link, distances: &Distances) {
        let delay = distances.delay(self.region, link.to);
        link.proxy.set(if delay == Duration::ZERO { Fault::Pass } else { Fault::Delay(delay) });
    }
}

/// A Machine's environment. The in-house host makes up the names of Fly's private network, and for an app that may not use
/// those it leads `localhost` to the databases. A real Spin gets an address of this machine for each region.
async fn setup(
    region: &str,
    routes: &Routes,
    application: &Application,
    host: &Host,
) -> Result<(Setup, Vec<FaultProxy>)> {
    let setup = Setup::with_routes(region, USER, routes, host);
    if let Some(address) = own_address(region).filter(|_| !host.knows_private_names()) {
        let doors = [(PORT, routes.configured), (REPLICA_PORT, routes.local)];
        let doors = doors.map(|(port, to)| FaultProxy::at(SocketAddr::new(address.into(), port), to));
        let setup = setup
            .env("DATABASE_URL", format!("postgres://{USER}@{address}:{PORT}/postgres"))
            .env("SPIN_VARIABLE_REPLICA_PORT", REPLICA_PORT.to_string())
            .env("SPIN_VARIABLE_ALLOWED_HOST", format!("postgres://{address}:*"));
        return Ok((setup, try_join_all(doors).await?));
    }
    if !host.knows_private_names() || application.allows_private_names() {
        return Ok((setup, Vec::new()));
    }
    let names = [("localhost", PORT, routes.configured), ("localhost", REPLICA_PORT, routes.local)];
    let names = names.into_iter().fold(setup.names.clone(), |names, (host, port, at)| names.with(host, port, at));
    let setup = Setup { names, ..setup }.env("DATABASE_URL", format!("postgres://{USER}@localhost:{PORT}/postgres"));
    Ok((setup, Vec::new()))
}

/// A loopback address on which both ports are free. Linux has 127.0.0.0/8; elsewhere there is only 127.0.0.1.
pub(crate) fn own_address(region: &str) -> Option<Ipv4Addr> {
    let index = REGIONS.iter().position(|other| *other == region)?;
    // Labs that run at the same time have others.
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 100 + u8::try_from(index).ok()?, high, low.max(1));
    [PORT, REPLICA_PORT].iter().all(|port| TcpListener::bind((address, *port)).is_ok()).then_some(address)
}

fn places(region: &str, routes: &Routes, environment: &HashMap<String, String>) -> Places {
    Places::from([
        ("url", environment.get("DATABASE_URL").cloned().unwrap_or_default()),
        ("replica_url", url(routes.local)),
        ("region", region.to_owned()),
        ("primary_region", PRIMARY.to_owned()),
    ])
}

/// The address of a server, without a name.
pub(crate) fn url(server: SocketAddr) -> String {
    format!("postgres://{USER}@{server}/postgres")
}
