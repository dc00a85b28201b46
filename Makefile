# make demo   sets everything up and runs the main job on photos that beedex draws itself
# make test   sets everything up and runs the tests
# make fuzz   fuzzes decoding and request handling, guided by coverage, FUZZ_SECONDS=60 each
# make check  lint, types, layers, protocol, the wheel, and the client with the oldest and newest of what it needs
# make proto  writes the Python of the .proto files again
# make docs   makes the references of docs/sdk.md and docs/command.md from the code again
# make lock   resolves the dependencies again

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRITON := build/triton
HOME_OF_DEMO ?= beedex-demo
FUZZ_SECONDS ?= 60
# googleapis-common-protos brings the .proto files that ours import.
GOOGLEAPIS = $$($(BIN)/python -c "import google.rpc, pathlib; print(pathlib.Path(google.rpc.__path__[0]).parents[1])")
PROTOC = PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos -I$(GOOGLEAPIS) \
	--python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) --mypy_grpc_out=$(1) protos/beedex/v1/*.proto protos/beedex/oip/*.proto

.PHONY: setup demo test fuzz check docs proto proto-check proto-lint wheel-check compat promtool browser page-tools lock clean

setup: $(VENV)/ready

# The lock is installed with its hashes checked; the two projects are then linked without resolving anything again.
$(VENV)/ready: requirements.lock pyproject.toml training/weights/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . -e training/weights
	touch $@

# Triton's own client, for the tests that call the server with it.
$(TRITON)/ready: tests/triton-requirements.txt
	$(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/python -m pip install --quiet --require-hashes -r tests/triton-requirements.txt
	touch $@

demo: setup
	$(BIN)/beedex demo --home $(HOME_OF_DEMO)

# The docstrings' examples first, then the tests, in as many processes as there are cores: each is given one thread for
# numpy, as threads of several would wait for each other.
test: setup $(TRITON)/ready
	$(BIN)/pytest --quiet --doctest-modules index/beedex training/beedex server/beedex client/beedex docs/reference
	OPENBLAS_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

check: setup proto-check proto-lint compat
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

# For as many seconds as FUZZ_SECONDS says; what is found is left in build/fuzz.
fuzz: setup
	mkdir -p build/fuzz
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_decode.py -max_total_time=$(FUZZ_SECONDS)
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_requests.py -max_total_time=$(FUZZ_SECONDS)

docs: setup
	$(BIN)/python -m docs.reference

proto: setup
	$(call PROTOC,protos)

proto-check: setup
	rm -rf build/protos && mkdir -p build/protos
	$(call PROTOC,build/protos)
	@for made in $$(cd build/protos && ls -d beedex/*/*); do \
		diff -u "protos/$$made" "build/protos/$$made" || { echo "run make proto"; exit 1; }; \
	done
	@echo "The generated protocol code is what the .proto files give."

proto-lint: setup
	mkdir -p build/googleapis/google/rpc
	cp $(GOOGLEAPIS)/google/rpc/status.proto build/googleapis/google/rpc/
	$(BIN)/buf lint protos

# The wheel, alone in a fresh environment: what `pip install beedex` gives.
wheel-check: setup
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --quiet --wheel --no-isolation --outdir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet build/wheel/beedex-*.whl
	build/wheel/venv/bin/python -P tests/wheel.py

# The same beside an environment with the oldest of what the client needs; both call this checkout's server.
compat: wheel-check
	$(PYTHON) -m venv build/wheel/oldest
	$(BIN)/uv pip install --quiet --resolution lowest-direct --python build/wheel/oldest/bin/python -r pyproject.toml
	build/wheel/oldest/bin/python -m pip install --quiet --no-deps build/wheel/beedex-*.whl
	BEEDEX_CLIENT_PYTHONS="build/wheel/oldest/bin/python build/wheel/venv/bin/python" \
		$(BIN)/pytest --quiet -rP tests/client/test_compatibility.py

# Prometheus's own checker, with which the tests check the alerts where it is: out of Debian's package, which is not
# installed. `apt-get update` may have to come before.
promtool: build/promtool/promtool

build/promtool/promtool:
	mkdir -p build/promtool
	cd build/promtool && apt-get download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb \
		| tar -x --strip-components=3 ./usr/bin/promtool && rm prometheus_*.deb

# The browser in which the page is tested: Debian's, as root; elsewhere any Chromium on the PATH does.
browser:
	command -v chromium || command -v chromium-browser || command -v google-chrome || apt-get install --yes --quiet chromium

# What judges the page in its tests, by npm: axe-core its accessibility, TypeScript the types in its comments.
page-tools: build/page/ready

build/page/ready: tests/server/page/package.json tests/server/page/package-lock.json
	mkdir -p build/page
	cp tests/server/page/package.json tests/server/page/package-lock.json build/page/
	cd build/page && npm ci --no-audit --no-fund
	touch $@

lock:
	$(BIN)/uv pip compile pyproject.toml --extra all --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate --no-emit-package beedex-weights -o requirements.lock
	$(BIN)/uv pip compile tests/triton-requirements.in --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -o tests/triton-requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra server --extra otel --constraint requirements.lock --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		-o deploy/requirements.txt
	$(BIN)/uv pip compile deploy/build-requirements.in --constraint requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --no-annotate -o deploy/build-requirements.txt

clean:
	rm -rf $(VENV) build beedex-demo
