//! An application of the tests' own guests with more at the end of its manifest, in a folder of its own.

use std::collections::HashSet;
use std::path::PathBuf;

use host_tests::machine::{Machine, Setup, repository};
use host_tests::spin::build;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::fixtures::host;

/// Nobody listens there.
pub(crate) const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nowhere";

pub(crate) struct GuestApp {
    folder: TempDir,
}

impl GuestApp {
    /// Builds the guest of that name once.
    pub(crate) async fn of(guest: &str, more: &str) -> Self {
        static BUILT: Mutex<Option<HashSet<String>>> = Mutex::const_new(None);
        let manifest = repository().join("host-tests").join(guest).join("spin.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let mut built = BUILT.lock().await;
        if built.get_or_insert_default().insert(guest.to_owned()) {
            tokio::task::spawn_blocking(move || build(&manifest).unwrap()).await.unwrap();
        }
        drop(built);
        let target = repository().join("target");
        let text = format!("{text}\n{more}\n").replace("../../target", target.to_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("spin.toml"), text).unwrap();
        Self { folder }
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }

    /// On the host that the tests run on.
    pub(crate) async fn start(&self, url: &str) -> anyhow::Result<Machine> {
        let setup = Setup { manifest: Some(self.manifest()), ..Setup::default() }.env("DATABASE_URL", url);
        Machine::start(&host(), setup.env("SPIN_VARIABLE_ALLOWED_HOST", "postgres://127.0.0.1:*")).await
    }

    /// Why it does not start.
    pub(crate) async fn refusal(&self) -> String {
        match self.start(NOWHERE).await {
            Ok(_) => panic!("it started: {}", std::fs::read_to_string(self.manifest()).unwrap()),
            Err(error) => format!("{error:#}"),
        }
    }
}
