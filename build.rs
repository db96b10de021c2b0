//! What the linker is told.

/// Rust's own choice for WebAssembly is 1 MiB. Spin clears the memory of an instance that has ended for the next one, which
/// keeps every page of it resident. A `GET /` needs less than 8 KiB, and so does a statement in the adapter.
const STACK: usize = 128 * 1024;

fn main() {
    // Cargo looks for a file in the folder of the package; this one is that of two, and is run again when it changes anyway.
    println!("cargo::rerun-if-env-changed=CARGO_CFG_TARGET_FAMILY");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK}");
    }
}
