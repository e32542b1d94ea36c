# Everything runs in a virtual environment that the first target builds; python3 and make suffice.
PYTHON ?= python3
VENV ?= .venv
ENGINE ?= auto
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help venv serve test check prove bench web pictures clean
export TORCH_INDEX

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## install everything, pinned, into .venv (ENGINE=cpu|gpu, PYTHON=python3.12, TORCH_INDEX=)
	@$(PYTHON) deploy/venv.py --venv "$(VENV)" --engine "$(ENGINE)"

serve: venv ## start the server (PORT=8000, MODEL=org/name or a folder, ARGS= anything for `concai serve`)
	@exec $(BIN)/concai serve $(if $(PORT),--port "$(PORT)") $(if $(MODEL),--model "$(MODEL)") $(ARGS)

test: venv ## run every test but the long campaigns (ARGS= for pytest)
	@$(BIN)/python deploy/chromium.py >/dev/null
	$(BIN)/python -m pytest -m "not prove" --durations=10 $(ARGS)

check: venv ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

prove: venv ## run the long campaigns
	$(BIN)/python -m pytest -m prove --durations=10 $(ARGS)

bench: venv ## measure what mods cost: ratios against requests without, in one run
	$(BIN)/python -m bench $(ARGS)

web: ## build the page anew from web/ into server/web/static (needs Node)
	cd web && npm ci --no-audit --no-fund && npm run build

pictures: venv ## take the pictures in docs/pictures again, from the tests of the page
	@$(BIN)/python deploy/chromium.py >/dev/null
	PAGE_PICTURES=docs/pictures $(BIN)/python -m pytest tests/engine/test_page_looks.py -k pictures $(ARGS)

clean: ## remove the virtual environment and every cache
	rm -rf "$(VENV)" build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
