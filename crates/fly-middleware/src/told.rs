//! How the adapter is told that a user has seen more than this region has: by the record in the key-value store by which
//! its instances tell each other of writes. Its reads are from the primary then, until a replica has replayed everything that
//! is there now. The two are instances that share nothing else: the adapter does not see the request, and one instance of it
//! serves several.

use nearest_replica::parts::{STORE_TIMEOUT, WRITTEN, WRITTEN_LEASE, name_of_write, timeout};
use nearest_replica::{Attempt, CandidateKind, Failure, NoAnswer, Problem};
use spin_sdk::key_value::Store;

use crate::settings::Settings;

impl Settings {
    /// Returns when the adapter's reads are from the primary.
    ///
    /// # Errors
    /// [`Problem::Behind`] where it cannot be told.
    pub(crate) async fn tell_adapter(&self) -> Result<(), Problem> {
        let told = match &self.store {
            Some(label) => {
                let write = async { Store::open(label).await?.set(WRITTEN, name_of_write()).await };
                matches!(timeout(STORE_TIMEOUT, write).await, Some(Ok(())))
            }
            None => false,
        };
        if !told {
            let attempt = Attempt { kind: CandidateKind::Configured, failure: Failure::Behind };
            return Err(Problem::Behind(NoAnswer { tried: vec![attempt] }));
        }
        timeout(WRITTEN_LEASE, std::future::pending::<()>()).await;
        Ok(())
    }
}
