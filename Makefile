# The commands of this project. `make up` and `make test` need nothing but Rust from rustup on Debian or Ubuntu, or a
# Mac with Homebrew: scripts/setup installs what is missing.

.PHONY: up test soak lint setup lint-tools

# Serves the component on this machine: `make up`, `make up DATABASE_URL=postgres://...`, `make up SPIN=/path/to/spin`,
# `make up PORT=4000`.
up: setup
	cargo run --locked --package host-tests --bin up

# Runs every test; `make test SPIN=/path/to/spin` runs the same ones on a real Spin.
test: setup
	cargo test --locked --workspace

# Random faults for three minutes; SOAK_SECONDS and SOAK_SEED change that.
soak: setup
	cargo run --locked --package host-tests --bin soak

lint: setup lint-tools
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package nearest-replica --target wasm32-wasip2 -- -D warnings
	cargo deny --locked check bans licenses sources

setup:
	@scripts/setup

lint-tools:
	@command -v cargo-deny > /dev/null || cargo install --locked cargo-deny
