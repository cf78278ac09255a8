# What a developer runs. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help test lint bench demo kill-test chaos worlds measure

# How `make kill-test` and `make test` differ; see cli/tests/processes/kills.rs.
KILL_TEST = TANDEM_TEST_RECORDS=1000 TANDEM_TEST_EDITS=20 TANDEM_TEST_KILLS=20
# The same for `make chaos`; see cli/tests/fleet/chaos.rs. TANDEM_TEST_SEED=2 gives another schedule.
CHAOS = TANDEM_TEST_RECORDS=300 TANDEM_TEST_EDITS=8 TANDEM_TEST_ROUNDS=6 TANDEM_TEST_REDIS_OUTAGE_SECS=20

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

test: ## Run all tests, on PostgreSQL and Redis too; with cargo-nextest if installed, else cargo's own runner.
	@.ci/install-test-servers
	@# The tests of the fleet start these; cargo itself builds only those of the package under test.
	cargo build --workspace --bins --locked
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --locked; \
	else \
		cargo test --workspace --locked; \
	fi

lint: ## Check the format, clippy and the documentation; every warning is an error.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
	deploy/check.sh

bench: ## Measure webhooks, jobs and changes a second, over SQLite and as a fleet, each beside its baseline.
	@.ci/install-test-servers
	cargo build --release --locked --workspace --bins
	cargo bench --locked -p tandem --bench throughput
	cargo bench --locked -p tandem --bench window

demo: ## Show the product at work: two simulated systems that go wrong, kept in agreement.
	cargo run --release -- demo

kill-test: ## Kill Tandem 20 times at 1,000 records and 20 edits a second; both sides must agree after.
	$(KILL_TEST) cargo test --release -p tandem --test processes -- --nocapture killed

chaos: ## Do to a fleet what production does, for some minutes; both sides must agree after.
	@.ci/install-test-servers
	cargo build --release --workspace --bins --locked
	$(CHAOS) cargo test --release --locked -p tandem --test fleet -- --nocapture chaos::

worlds: ## Live through 2,000 seeded worlds of odd systems; TANDEM_TEST_SEED=7 lives through that one alone and tells its story.
	TANDEM_TEST_WORLDS=2000 cargo test --release --locked -p tandem-worker --test simulation -- odd::life

measure: ## Measure the source: sizes of files and functions, circles of files, lines that stand twice.
	cargo run -q --locked -p tandem-measure
