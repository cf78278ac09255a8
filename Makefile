# What a developer runs. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help test lint bench demo kill-test

# How `make kill-test` and `make test` differ; see cli/tests/processes/kills.rs.
KILL_TEST = TANDEM_TEST_RECORDS=1000 TANDEM_TEST_EDITS=20 TANDEM_TEST_KILLS=20

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

test: ## Run all tests, on PostgreSQL and Redis too; with cargo-nextest if installed, else cargo's own runner.
	@.ci/install-test-servers
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --locked; \
	else \
		cargo test --workspace --locked; \
	fi

lint: ## Check the format, clippy and the documentation; every warning is an error.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

bench: ## Measure webhooks, jobs and reconciled changes a second, each beside its baseline.
	cargo bench -p tandem --bench throughput

demo: ## Show the product at work: two simulated systems that go wrong, kept in agreement.
	cargo run --release -- demo

kill-test: ## Kill Tandem 20 times at 1,000 records and 20 edits a second; both sides must agree after.
	$(KILL_TEST) cargo test --release -p tandem --test processes -- --nocapture killed
