# Each target sets up what it needs, from nothing but Python 3.11 or newer, and says what it does.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

# Images of containers often say that Python keeps nothing that it has compiled. Each of the hundreds
# of processes that tests start would then compile all its packages anew: three seconds, not one.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check checks mypy pyright style prose architecture npm package audit docs format schema reference dashboard pictures fuzz chaos cluster cluster-figures bench bench-quick graphiql lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

# Locked and hash-checked. The demo needs no more than this first part: the gateway's own packages,
# and GraphiQL. Where that cannot be built, all the rest works. pip compiles nothing: Python compiles
# what it imports, and keeps it.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
.venv/runtime: requirements/runtime.txt requirements/build.txt requirements/node.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "1/3 Making an environment in .venv"
	@$(PYTHON) -m venv .venv
	@echo "2/3 Installing $$(grep -c == requirements/runtime.txt) locked packages, the longest step"
	@$(PIP) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	@USER_GATEWAY_SKIP_GRAPHIQL=1 $(PIP) --no-build-isolation --no-deps --editable .
	@echo "3/3 Building GraphiQL from locked npm packages"
	@$(BIN)/python -c 'import os; from app.server.graphiql.build import find_node; find_node(os.environ["PATH"])' 2>/dev/null \
		|| { echo "    There is no Node.js: installing it into .venv" && $(PIP) --require-hashes -r requirements/node.txt; }
	-@$(BIN)/python -m app.server.graphiql.build
	@touch $@

# Tools and services for tests: about a hundred packages more.
.venv/dev: .venv/runtime requirements/dev.txt
	@echo "Installing the packages of tests and tools: about a minute, once"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# Real programs of others, which tests run. Where npm cannot install them, these tests are skipped.
NPM_FOLDERS := .ci/prose tests/examples/json_server tests/server/audit tests/auth/provider tests/routers tests/importing/published tests/incremental/clients tests/clients examples/react tests/fastpath/compliance
NPM_INSTALLED := $(NPM_FOLDERS:%=%/node_modules/installed)
# The least wait between tries has to be said beside the longest: npm's own is longer, and an error.
$(NPM_INSTALLED): %/node_modules/installed: %/package-lock.json | .venv/dev
	-$(BIN)/npm --prefix $* ci --loglevel=error --ignore-scripts --no-audit --no-fund --prefer-offline --no-update-notifier --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=2000 && touch $@

demo: .venv/runtime ## three services with 1,000 users and the gateway over them (ARGS="--fail billing=503")
	$(BIN)/user-gateway demo $(ARGS)

# Tests are shared out over three processes for two cores: many wait for a program or a browser.
PROCESSES := $$($(BIN)/python -c 'import os; print(max(2, (os.cpu_count() or 1) * 3 // 2))')
test: .venv/dev $(NPM_INSTALLED) ## all tests (ARGS="-k merge")
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal $(ARGS)

# The two type checkers take the most time, and each uses one core: they run beside each other.
check: .venv/dev ## format, lint, types, prose, schema drift
	@$(MAKE) --no-print-directory --jobs 2 --output-sync checks

checks: mypy pyright style prose architecture

mypy pyright: .venv/dev
	$(BIN)/$@

style: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

prose: .venv/dev .ci/prose/node_modules/installed
	$(BIN)/python .ci/prose.py

architecture: .venv/dev
	$(BIN)/python -m pytest --quiet tests/test_architecture.py
	$(BIN)/user-gateway schema check

npm: $(NPM_INSTALLED)

package: .venv/dev ## build wheel and sdist, and try the wheel with each Python of the machine (ARGS="--tests tests/expressions")
	$(BIN)/python .ci/package.py $(ARGS)

audit: .venv/dev ## look all packages up among the known advisories, where these can be reached
	$(BIN)/python .ci/audit.py

# An environment of its own: no test and no command needs these packages.
build/docs-tools/installed: requirements/docs.txt
	$(PYTHON) -m venv build/docs-tools
	build/docs-tools/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/docs.txt
	@touch $@

docs: build/docs-tools/installed ## build the documentation site in build/site; fails on a broken link
	build/docs-tools/bin/python .ci/site.py

format: .venv/dev ## format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: .venv/dev ## export schema.graphql from the code, and write its page
	$(BIN)/user-gateway schema print > schema.graphql
	$(BIN)/python -m tests.docs.generated

reference: .venv/dev ## write all generated pages of docs/reference/ from the code
	$(BIN)/python -m tests.docs.generated

dashboard: .venv/dev ## write the Grafana dashboard from deploy/grafana/panels.yml
	$(BIN)/python deploy/grafana/dashboard.py > deploy/grafana/dashboard.json

pictures: .venv/dev examples/react/node_modules/installed ## make the pictures of the React example anew, by Chromium
	$(BIN)/python -m tests.examples.pictures $(ARGS)

FUZZES := tests/test_isolation_storm.py tests/test_identities.py tests/server/test_fuzz.py tests/sources/test_fuzz.py tests/server/test_fuzz_pipelining.py tests/execution/test_fuzz.py tests/server/headers/test_fuzz.py tests/auth/test_fuzz.py
fuzz: .venv/dev ## ten thousand requests and conversations of each kind, right and damaged, on the wire; documents, headers, tokens (FUZZ_EXAMPLES=1000)
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-10000} $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(FUZZES) --hypothesis-profile random --timeout 0 $(ARGS)

UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-strip-extras --python-version 3.11 --upgrade
chaos: .venv/dev ## a minute of load while sources break and heal (ARGS="--seconds 20")
	$(BIN)/python -m tests.chaos $(ARGS)

cluster: .venv/dev ## ten minutes of load on three gateways with one store while all of it breaks (ARGS="--seconds 60"; needs nginx)
	$(BIN)/python -m tests.cluster $(ARGS)

cluster-figures: .venv/dev ## what one, two and three gateways serve, and what the store costs (needs nginx and wrk)
	$(BIN)/python -m tests.cluster.figures $(ARGS)

bench: .venv/dev ## the gateway beside its peers, in about 70 minutes: table, JSON, chart (ARGS="--rounds 1")
	$(BIN)/python -m benchmarks run $(ARGS)

bench-quick: .venv/dev ## the working tree beside the previous commit, in five minutes
	$(BIN)/python -m benchmarks quick $(ARGS)

graphiql: .venv/dev ## build the GraphiQL page anew, where its source has changed
	$(BIN)/python -m app.server.graphiql.build

lock: .venv/dev ## lock the newest versions that pyproject.toml allows
	$(UV_COMPILE) pyproject.toml -o requirements/runtime.txt
	$(UV_COMPILE) --group build -o requirements/build.txt
	$(UV_COMPILE) --group node -o requirements/node.txt
	$(UV_COMPILE) -c requirements/runtime.txt -c requirements/node.txt pyproject.toml --group dev -o requirements/dev.txt
	$(UV_COMPILE) --group docs -o requirements/docs.txt
	for folder in $(NPM_FOLDERS); do $(BIN)/npm --prefix $$folder update --package-lock-only --ignore-scripts --no-audit --no-fund || exit; done

clean: ## remove what the targets above have made
	rm -rf .venv build .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis app/server/graphiql/dist app/server/graphiql/node_modules
	rm -rf $(NPM_FOLDERS:%=%/node_modules) tests/incremental/clients/build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf benchmarks/.work benchmarks/peers/python/.venv benchmarks/peers/*/node_modules
