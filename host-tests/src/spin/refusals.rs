//! Functions of the host that no guest has any use of: those that a dependency is denied (`inheritance.rs`), which say
//! so, and those that Spin has and this host does not, which trap.
//!
//! For the latter this host is kinder than Spin in one way: whatever a component imports of them, it starts.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, Resource, ResourceType, Type, Val};
use wasmtime::{AsContextMut, Result, StoreContextMut, bail};

use super::inheritance::DENIED;
use super::state::State;

/// What Spin has and this host does not. Guests in Python import all of it, and use what they need.
const ABSENT: [&str; 15] = [
    "fermyon:spin/llm",
    "fermyon:spin/mqtt",
    "fermyon:spin/mysql",
    "fermyon:spin/postgres",
    "fermyon:spin/rdbms-types",
    "fermyon:spin/redis",
    "fermyon:spin/sqlite",
    "spin:mqtt/",
    "spin:mysql/",
    "spin:redis/",
    "spin:sqlite/",
    "wasi:config/",
    "wasi:http/client@0.3.0-rc",
    "wasi:keyvalue/",
    "wasi:otel/",
];

/// A resource that nobody has any of.
struct Nothing;

/// What to do when the guest calls a function.
#[derive(Clone, Copy)]
enum Answer {
    Deny,
    Trap,
}

/// Gives a component those of its imports that are denied or absent.
pub(crate) fn add_to_linker(linker: &mut Linker<State>, component: &Component) -> Result<()> {
    let engine = component.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let answer = match name {
            _ if name.starts_with(DENIED) => Answer::Deny,
            _ if ABSENT.iter().any(|absent| name.starts_with(absent)) || is_candidate(name) => Answer::Trap,
            _ => continue,
        };
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        let mut linker = linker.instance(name)?;
        for (item, export) in instance.exports(&engine) {
            match export.ty {
                ComponentItem::ComponentFunc(function) => add_function(&mut linker, name, item, &function, answer)?,
                ComponentItem::Resource(_) => linker.resource(item, ResourceType::host::<Nothing>(), |_, _| Ok(()))?,
                ComponentItem::CoreFunc(_)
                | ComponentItem::Module(_)
                | ComponentItem::Component(_)
                | ComponentItem::ComponentInstance(_)
                | ComponentItem::Type(_) => {}
            }
        }
    }
    Ok(())
}

/// Interfaces of a release candidate of WASI 0.3, which Spin has as well.
fn is_candidate(name: &str) -> bool {
    name.starts_with("wasi:") && name.ends_with("@0.3.0-rc-2026-03-15")
}

fn add_function(
    linker: &mut LinkerInstance<'_, State>,
    interface: &str,
    function: &str,
    ty: &ComponentFunc,
    answer: Answer,
) -> Result<()> {
    let called = Called { interface: interface.to_owned(), function: function.to_owned(), answer };
    if ty.async_() {
        linker.func_new_concurrent(function, move |accessor, ty, params, results| {
            let done = accessor.with(|mut access| called.answer(access.as_context_mut(), &ty, params, results));
            Box::pin(async { done })
        })
    } else {
        linker.func_new(function, move |store, ty, params, results| called.answer(store, &ty, params, results))
    }
}

struct Called {
    interface: String,
    function: String,
    answer: Answer,
}

impl Called {
    fn answer(
        &self,
        store: StoreContextMut<'_, State>,
        ty: &ComponentFunc,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<()> {
        let refused = match self.answer {
            Answer::Trap => None,
            // These two Spin lets pass: what is built of them is refused.
            Answer::Deny if self.function.starts_with("[constructor]") => {
                Some(Val::Resource(Resource::<Nothing>::new_own(0).try_into_resource_any(store)?))
            }
            Answer::Deny if self.function.ends_with(".set-ca-root") => Some(Val::Result(Ok(None))),
            Answer::Deny => self.refusal(ty, params),
        };
        match (refused, results) {
            (Some(refused), [result]) => *result = refused,
            _ => bail!("`{}#{}` is not there", self.interface, self.function),
        }
        Ok(())
    }

    /// What Spin answers: the error that the interface has for it.
    fn refusal(&self, ty: &ComponentFunc, params: &[Val]) -> Option<Val> {
        let Some(Type::Result(result)) = ty.results().next() else { return None };
        let Some(Type::Variant(error)) = result.err() else { return None };
        let has = |name: &str| error.cases().any(|case| case.name == name);
        let (name, payload) = if has("undefined") {
            ("undefined", Some(params.first()?.clone()))
        } else if has("access-denied") {
            ("access-denied", None)
        } else {
            let interface = self.interface.trim_start_matches(DENIED).split('@').next()?;
            ("other", Some(Val::String(format!("{interface:?} is not permitted"))))
        };
        Some(Val::Result(Err(Some(Box::new(Val::Variant(name.to_owned(), payload.map(Box::new)))))))
    }
}
