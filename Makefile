# Two verbs for checks: `verify` never writes, `fix` does. CI runs `make test`, as you do.
.PHONY: demo test verify fix bench bench-core bench-state reconcile predict soak results build

CARGO ?= cargo

demo: build                 ## five agents on loopback: a key spreads, a node dies and returns
	./target/release/tidings demo

build:
	$(CARGO) build --release --locked -p tidings-agent

test:                       ## everything that must hold, in under ten minutes on two cores
	$(CARGO) test --workspace --locked

verify:                     ## formatting and lints; writes nothing
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fix:                        ## formats and applies what clippy can
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

bench: build                ## a real Serf cluster and ours on the same work (needs root, serf, nft)
	./bench/run

bench-state:                ## replicated state beside chitchat and merkle-search-tree, one JSON line a row
	./bench/state/run --page docs/results/state.md

reconcile: build            ## what repair costs among 10^6 keys, by how much differs and by method
	./target/release/tidings sim reconcile --page --keys 1000000 > docs/results/reconcile.md

bench-core:                 ## the hot path beside foca, one JSON line a row
	./bench/core/run --page docs/results/core.md

predict: build              ## how long a key takes to reach 50 real agents, beside the plan's figures
	./bench/predict.py > docs/results/prediction.md

soak:                       ## the full counts: 10,000 nodes, 10^6 schedules, 100 kills
	SOAK=1 $(CARGO) test --workspace --locked -- --nocapture --test-threads 1

results: build              ## regenerates docs/results: all papers and questions, the same bytes from the same code
	./target/release/tidings sim results --out docs/results
