//! Instances of the component, used again as Spin does: up to 128 requests, 16 at once, gone after a second without
//! work (Spin `crates/trigger-http`, over the same handler of wasmtime-wasi-http).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wasmtime::component::{Accessor, GuestTaskId, HasData, InstancePre, ResourceTable};
use wasmtime::{Store, StoreContextMut, StoreLimits};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::Service;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::Logs;
use super::app::{Options, prepare};
use super::bindings::spin::variables::variables::{self, Error};
use super::key_value::Entries;
use super::pool::Pools;
use super::variables::Variables;

/// What the instances of one application share.
pub(crate) struct App {
    pub(crate) pools: Pools,
    pub(crate) variables: Variables,
    /// The labels that the component may use.
    pub(crate) key_value_stores: Vec<String>,
    pub(crate) entries: Entries,
    pub(crate) logs: Logs,
    /// What everybody is told at `/.well-known/spin/info`.
    pub(crate) info: String,
    /// Set when the server stops: instances that are cut off then have not failed.
    pub(crate) stopping: AtomicBool,
}

/// What belongs to one instance.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) app: Arc<App>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    limits: StoreLimits,
}

/// Gives the generated bindings the whole state.
pub(crate) struct Spin;

impl HasData for Spin {
    type Data<'a> = &'a mut State;
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

impl variables::Host for State {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<Error> {
        Ok(error)
    }
}

impl<T: Send> variables::HostWithStore<T> for Spin {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        accessor.with(|mut access| access.get().app.variables.get(&name))
    }
}

/// Makes instances.
pub(crate) struct Workers {
    pub(crate) app: Arc<App>,
    pub(crate) pre: InstancePre<State>,
    pub(crate) options: Options,
}

impl HandlerState for Workers {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Limits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Limits>> {
        let wasi = WasiCtx::builder().stdout(self.app.logs.pipe()).stderr(self.app.logs.pipe()).build();
        let state = State {
            table: ResourceTable::new(),
            app: Arc::clone(&self.app),
            wasi,
            http: WasiHttpCtx::new(),
            limits: self.options.memory_limit(),
        };
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.limits);
        // Spin compiles in the checks that let it interrupt a guest; nobody interrupts it here.
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.pre.instantiate_async(&mut store).await?;
        let proxy = Proxy::P3(Service::new(&mut store, &instance)?);
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
                requests: self.options.max_instance_reuse_count,
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

/// Instances that have not worked yet, and how long each took to make.
pub struct Instances(Vec<(Duration, Instance<State, Expiration, Limits>)>);

impl Instances {
    /// How long each took, in order.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.0.iter().map(|(took, _)| *took)
    }
}

/// Makes instances of an application, for those who want to know what they cost.
///
/// # Errors
/// Where Spin would not start.
pub async fn instantiate(options: Options, count: usize) -> anyhow::Result<Instances> {
    let workers = tokio::task::spawn_blocking(move || prepare(options, Logs::default())).await??;
    let mut instances = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        let instance = workers.instantiate().await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        instances.push((started.elapsed(), instance));
    }
    Ok(Instances(instances))
}
