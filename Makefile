# `make` shows what there is. It takes Rust, a C compiler and make; the tests also take Node, and the check of the fuzz targets g++.
.DEFAULT_GOAL := help
.PHONY: help run run-cluster test torture check audit fuzz bench prepare node_modules
CARGO ?= cargo

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build the server and run the demo (PORT=5001 for another port, DATA=dir to keep the records)
	$(CARGO) build --release --locked -p switchboard
	./target/release/switchboard demo $(if $(PORT),--port $(PORT)) $(if $(DATA),--data $(DATA))

run-cluster: ## Build the server and run three nodes on one Redis behind nginx or HAProxy (PORT=5001 for another port)
	$(CARGO) build --release --locked -p switchboard
	@PORT=$(or $(PORT),5000) SWITCHBOARD=./target/release/switchboard ./examples/cluster/run

test: prepare ## All tests: Rust, then end to end in Node against the real binary
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked
	cd tests/e2e && npm test

torture: prepare ## Faults of every kind for some twenty minutes (SEED=, ONLY=kill,full ROUNDS= to repeat what failed)
	$(CARGO) build --release --locked -p switchboard
	cd tests/e2e && SWITCHBOARD_BIN=$(CURDIR)/target/release/switchboard node torture/run.js \
	  $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

check: node_modules ## Format, lints, documentation, types of the JavaScript: what CI refuses
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	cd fuzz && $(CARGO) check --locked
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	cd tests/e2e && npx tsc --project .

audit: ## Licences, bans and advisories (installs cargo-deny if it is missing)
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check

fuzz: ## A minute of fuzzing for each target, or SECONDS=10 (installs cargo-fuzz if it is missing)
	SECONDS_PER_TARGET=$(or $(SECONDS),60) ./fuzz/run

bench: ## The table against peers, about 25 minutes; `bench/run --help` for less
	./bench/run

prepare: node_modules
	@PATH="$$PATH:/usr/sbin"; \
	for tool in strace openssl nginx haproxy caddy sqlite3; do \
	  command -v $$tool >/dev/null || missing="$$missing $$tool"; \
	done; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	  if ! command -v apt-get >/dev/null; then echo "please install:$$missing" >&2; exit 1; fi; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	fi

node_modules:
	cd tests/e2e && npm ci --no-audit --no-fund
