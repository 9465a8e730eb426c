# Everything a new user or CI needs; each target sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAMP_DOCS := $(VENV)/.docs

.PHONY: help setup demo test cluster-test cluster-bench lint docs docs-run bench simulate prove example-report clean

help:
	@echo "make demo   install, then run the example experiments on a local mesh of real Envoys"
	@echo "make test   install, then run every test that needs no cluster"
	@echo "make cluster-test  run the tests that need one: a Kubernetes with Istio comes up on this machine (Debian, root, Go)"
	@echo "make cluster-bench  measure there: until a fault is live, what a run takes beyond its phases, memory (10 minutes)"
	@echo "make lint   ruff, mypy --strict, import-linter"
	@echo "make docs   build the docs into site/; a link that leads nowhere ends it"
	@echo "make docs-run  run what the docs show, on local meshes; a verdict that is not as shown ends it"
	@echo "make bench  measure start-up, time to live, load generator, verdicts, the report's page; prints a table, writes bench.json"
	@echo "make simulate  error rates and power of the verdicts, 4,000 repetitions; writes the tables of docs/statistics.md"
	@echo "make prove  each expectation 20 times where it holds and 20 times where it is broken, real Envoys; writes docs/proof.md (an hour)"
	@echo "make example-report  run one example and keep what it left as reports/example (half a minute)"

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "meshchaos needs Python 3.11 or newer; this is $$($(PYTHON) --version). Say: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local,kubernetes,dev]'
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	$(BIN)/meshchaos run experiments/*.chaos.yaml

test: $(STAMP)
	$(BIN)/python -m pytest

# On the cluster of MESHCHAOS_TEST_CONTEXT, else on one that comes up here: docs/cluster-tier.md.
cluster-test: $(STAMP)
	$(BIN)/python -m tests.cluster

cluster-bench: $(STAMP)
	$(BIN)/python -m tests.cluster bench

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP_DOCS): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

docs-run: $(STAMP)
	$(BIN)/python -m tests.docs

docs: $(STAMP_DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "the docs are in site/: open site/index.html"

bench: $(STAMP)
	$(BIN)/python -m tests.bench

simulate: $(STAMP)
	$(BIN)/python -m tests.simulation

prove: $(STAMP)
	$(BIN)/python -m tests.proof $(PROVE)

# A belief that does not hold (exit 1), without the mesh's logs and this machine's paths.
EXAMPLE := reports/example
example-report: $(STAMP)
	rm -rf $(EXAMPLE) $(EXAMPLE).new
	$(BIN)/meshchaos run experiments/slow-ratings.chaos.yaml --mesh naive --seed 7 --output $(EXAMPLE).new -q; test $$? -eq 1
	mv $(EXAMPLE).new/slow-ratings-* $(EXAMPLE)
	rm -rf $(EXAMPLE).new $(EXAMPLE)/mesh $(EXAMPLE)/*.log
	sed -i 's|"folder": "[^"]*"|"folder": ""|' $(EXAMPLE)/history.jsonl
	$(BIN)/meshchaos report $(EXAMPLE) >/dev/null; test $$? -eq 1

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache
