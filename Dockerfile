# syntax=docker/dockerfile:1
# The Spin runtime with the component, for Fly Machines. No shell, no root, nothing to write but /tmp.

ARG RUST_VERSION=1.95.0
ARG SPIN_VERSION=v4.1.0
# Spin's image without an operating system around it; empty for the one on Debian.
ARG SPIN_VARIANT=-distroless
# Pin what you have tested: `--build-arg SPIN_DIGEST=@sha256:...`
ARG SPIN_DIGEST=

FROM rust:${RUST_VERSION}-slim-bookworm AS build
WORKDIR /build
RUN rustup target add wasm32-wasip2
# The dependencies alone first: this layer stays until one of these files changes. Cargo wants to see every target
# that the manifests name.
COPY Cargo.toml Cargo.lock build.rs ./
COPY crates/doctor/Cargo.toml crates/doctor/
COPY crates/fly-middleware/Cargo.toml crates/fly-middleware/
COPY crates/nearest-replica/Cargo.toml crates/nearest-replica/
COPY crates/postgres-adapter/Cargo.toml crates/postgres-adapter/
COPY host-tests/Cargo.toml host-tests/
COPY host-tests/echo-guest/Cargo.toml host-tests/echo-guest/
COPY host-tests/marking-middleware/Cargo.toml host-tests/marking-middleware/
COPY host-tests/postgres-guest/Cargo.toml host-tests/postgres-guest/
COPY host-tests/session-guest/Cargo.toml host-tests/session-guest/
COPY host-tests/stand-in/Cargo.toml host-tests/stand-in/
COPY host-tests/sync-guest/Cargo.toml host-tests/sync-guest/
COPY lab/Cargo.toml lab/
COPY lab/notes-guest/Cargo.toml lab/notes-guest/
COPY bench/Cargo.toml bench/
COPY bench/connection-per-instance/Cargo.toml bench/connection-per-instance/
COPY bench/connection-per-request/Cargo.toml bench/connection-per-request/
COPY bench/plain-middleware/Cargo.toml bench/plain-middleware/
COPY examples/rust/Cargo.toml examples/rust/
RUN mkdir -p src crates/nearest-replica/src examples/rust/src host-tests/src/bin host-tests/tests/it host-tests/session-guest/src \
    && mkdir -p host-tests/stand-in/src host-tests/sync-guest/src host-tests/postgres-guest/src crates/postgres-adapter/src crates/fly-middleware/src \
    && mkdir -p crates/doctor/src \
    && mkdir -p host-tests/echo-guest/src host-tests/marking-middleware/src \
    && mkdir -p lab/src lab/tests/lab lab/tests/browser lab/notes-guest/src \
    && mkdir -p bench/src/bin bench/connection-per-instance/src bench/connection-per-request/src bench/plain-middleware/src \
    && touch src/lib.rs crates/nearest-replica/src/lib.rs examples/rust/src/lib.rs host-tests/session-guest/src/lib.rs \
    && touch host-tests/stand-in/src/lib.rs host-tests/sync-guest/src/lib.rs host-tests/postgres-guest/src/lib.rs \
    && touch host-tests/echo-guest/src/lib.rs host-tests/marking-middleware/src/lib.rs \
    && touch crates/postgres-adapter/src/lib.rs crates/fly-middleware/src/lib.rs crates/doctor/src/lib.rs \
    && touch host-tests/src/lib.rs host-tests/build.rs host-tests/tests/it/main.rs host-tests/tests/properties.rs \
    && touch host-tests/src/bin/host.rs host-tests/src/bin/soak.rs \
    && touch lab/src/main.rs lab/tests/lab/main.rs lab/tests/browser/main.rs lab/notes-guest/src/lib.rs \
    && touch bench/src/main.rs bench/src/bin/native.rs \
    && touch bench/connection-per-instance/src/lib.rs bench/connection-per-request/src/lib.rs bench/plain-middleware/src/lib.rs \
    && cargo build --locked --release --target wasm32-wasip2 --package nearest-replica-component
COPY src src
COPY crates/nearest-replica/src crates/nearest-replica/src
# Cargo goes by the time of a file, and that of the copied ones is older than the empty ones'.
RUN touch src/lib.rs crates/nearest-replica/src/lib.rs \
    && cargo build --locked --release --target wasm32-wasip2 --package nearest-replica-component

FROM ghcr.io/spinframework/spin:${SPIN_VERSION}${SPIN_VARIANT}${SPIN_DIGEST}
LABEL org.opencontainers.image.title="nearest-replica" \
    org.opencontainers.image.description="Reads from the nearest Postgres replica on Fly.io" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY spin.toml runtime-config.toml /app/
COPY --from=build /build/target/wasm32-wasip2/release/nearest_replica_component.wasm /app/target/wasm32-wasip2/release/
# For a Machine of 512 MB: 250 requests at once (fly.toml) need fewer instances than that, of less than 1 MB each.
ENV SPIN_MAX_INSTANCE_COUNT=300 SPIN_MAX_INSTANCE_MEMORY=33554432
USER 65534:65534
EXPOSE 8080
# The image's entry point is `spin`. The request time-out is above deadline_ms (5 s): it is for what the component
# cannot bound itself. Without a state directory, logs go to the console and the key-value store is in memory.
CMD ["up", "--from", "/app/spin.toml", "--runtime-config-file", "/app/runtime-config.toml", "--listen", "0.0.0.0:8080", "--state-dir", "", "--request-timeout", "10s", "--disable-cache"]
