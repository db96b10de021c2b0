//! What a host name says about the cluster behind it, and about the network on the way to it.

use std::net::Ipv4Addr;

/// What the host part of `DATABASE_URL` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// `<app>.flycast`: Fly Proxy in front of the app's Machines.
    Flycast {
        /// The Fly app of the database cluster.
        app: String,
    },
    /// `<app>.internal` and its forms for a region or the nearest Machines: private DNS.
    Internal {
        /// The Fly app of the database cluster.
        app: String,
    },
    /// `*.flympg.net`: Fly Managed Postgres, which has neither replicas to read from nor port 5433.
    Managed,
    /// Several hosts, a host given as a parameter, or a private name of one Machine or group: somebody's own choice.
    Pinned,
    /// `localhost`, or an address of the loopback network.
    Loopback,
    /// Any other name or IPv4 address.
    Other,
}

impl HostKind {
    /// Of one host.
    pub(crate) fn of(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        if is_loopback(&host) {
            Self::Loopback
        } else if host.ends_with(".flympg.net") {
            Self::Managed
        } else if let Some(app) = host.strip_suffix(".flycast") {
            if app.contains('.') { Self::Pinned } else { Self::Flycast { app: app.to_owned() } }
        } else if let Some(name) = host.strip_suffix(".internal") {
            internal_app(name).map_or(Self::Pinned, |app| Self::Internal { app: app.to_owned() })
        } else {
            Self::Other
        }
    }
}

/// The network on the way to the database, as far as its host tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Fly's private network, which is encrypted, or this machine.
    Private,
    /// An IPv4 address: a database server itself, not the name of a hosting service.
    Address,
    /// A name elsewhere, or several hosts.
    Elsewhere,
}

impl Network {
    /// Of one host.
    pub(crate) fn of(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        if is_loopback(&host) || host.ends_with(".internal") || host.ends_with(".flycast") {
            Self::Private
        } else if host.parse::<Ipv4Addr>().is_ok() {
            Self::Address
        } else {
            Self::Elsewhere
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// The app in `<app>`, `global.<app>`, `<region>.<app>` and `top<N>.nearest.of.<app>` (fly.io/docs, private networking).
fn internal_app(name: &str) -> Option<&str> {
    match name.split('.').collect::<Vec<_>>().as_slice() {
        [app] => Some(app),
        [region, app] if region.len() == 3 || *region == "global" => Some(app),
        [top, "nearest", "of", app] if top.strip_prefix("top").is_some_and(|n| n.parse::<u8>().is_ok()) => Some(app),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_private_name_leads_to_its_app() {
        let internal = || HostKind::Internal { app: "db".to_owned() };
        for (host, kind) in [
            ("db.flycast", HostKind::Flycast { app: "db".to_owned() }),
            ("DB.internal", internal()),
            ("fra.db.internal", internal()),
            ("global.db.internal", internal()),
            ("top2.nearest.of.db.internal", internal()),
            ("topx.nearest.of.db.internal", HostKind::Pinned),
            ("148e.vm.db.internal", HostKind::Pinned),
            ("web.process.db.internal", HostKind::Pinned),
            ("a.db.flycast", HostKind::Pinned),
            ("direct.abc.flympg.net", HostKind::Managed),
            ("localhost", HostKind::Loopback),
            ("127.8.0.1", HostKind::Loopback),
            ("10.0.0.7", HostKind::Other),
            ("internal", HostKind::Other),
        ] {
            assert_eq!(HostKind::of(host), kind, "{host}");
        }
    }

    #[test]
    fn only_flys_own_names_and_this_machine_are_a_private_network() {
        for (host, network) in [
            ("148e.vm.db.internal", Network::Private),
            ("DB.FLYCAST", Network::Private),
            ("127.0.0.1", Network::Private),
            ("10.0.0.7", Network::Address),
            ("db.internal.example.com", Network::Elsewhere),
            ("direct.abc.flympg.net", Network::Elsewhere),
        ] {
            assert_eq!(Network::of(host), network, "{host}");
        }
    }
}
