# The two commands are `make demo` and `make test`; each sets up what it needs.
.PHONY: demo test setup lint bench conformance sanitize clean

demo: setup
	@.venv/bin/mullama demo

test: setup
	@scripts/test.sh

setup:
	@scripts/setup.sh

lint: setup
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format . && .venv/bin/mypy

bench: setup
	@.venv/bin/python -m tests.bench

conformance: setup
	@.venv/bin/python -m tests.conformance

sanitize: setup
	@scripts/sanitize.sh address
	@scripts/sanitize.sh thread

clean:
	rm -rf build .venv
