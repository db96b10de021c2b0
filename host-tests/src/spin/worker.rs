//! Instances of the component, used again as Spin does: up to 128 requests, 16 at once, gone after a second without
//! work; one for each request where the handler is that of WASI 0.2 (Spin `crates/trigger-http`, over the same handler
//! of wasmtime-wasi-http).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use super::engine::Compiled;
use super::options::Options;
use super::state::{App, State};

/// Makes instances.
pub(crate) struct Workers {
    pub(crate) app: Arc<App>,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) options: Options,
}

impl HandlerState for Workers {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Limits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Limits>> {
        let state = State::new(&self.app, self.options.memory_limit());
        let mut store = Store::new(&self.compiled.engine, state);
        store.limiter(|state| &mut state.limits);
        // Spin compiles in the checks that let it interrupt a guest; nobody interrupts it here.
        store.set_epoch_deadline(u64::MAX / 2);
        let proxy = self.compiled.pre.instantiate_async(&mut store).await?;
        let requests = match self.compiled.pre {
            ProxyPre::P2(_) => 1,
            ProxyPre::P3(_) => self.options.max_instance_reuse_count,
        };
        let request_timeout = self.options.request_timeout.unwrap_or(Duration::MAX);
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration {
                idle: self.options.idle_instance_timeout,
                request: request_timeout,
                sleep: Box::pin(tokio::time::sleep(Duration::MAX)),
            },
            state: Limits {
                requests,
                at_once: self.options.max_instance_concurrent_reuse_count,
                request_timeout,
                app: Arc::clone(&self.app),
            },
        })
    }
}

/// When an instance ends for want of work, or of an answer.
pub(crate) struct Expiration {
    idle: Duration,
    request: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.request,
        };
        let Some(end) = start.checked_add(limit) else { return Poll::Pending };
        if self.sleep.deadline() != end.into() {
            self.sleep.as_mut().reset(end.into());
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// How many requests an instance takes.
pub(crate) struct Limits {
    requests: usize,
    at_once: usize,
    request_timeout: Duration,
    app: Arc<App>,
}

impl WorkerState for Limits {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, at_once: usize, total: usize) -> ShouldAccept {
        if total >= self.requests {
            ShouldAccept::Never
        } else if at_once >= self.at_once {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(tokio::time::sleep(self.request_timeout))
    }

    fn drop(&self, store: Store<State>, result: wasmtime::Result<()>) {
        if let Err(error) = result
            && !self.app.stopping.load(Ordering::Relaxed)
        {
            self.app.logs.line(&format!("worker failed: {error:#}"));
        }
        drop(store);
    }
}
