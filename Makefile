# make demo     sets up, then walks a whole run on the models that travel with the package
# make test     sets up, then runs every test
# make lint     sets up, then checks style and types
# make soak     sets up, then kills, fills disks, damages, forges and fuzzes many times over; a table; SEED=1, OUT=soak.json
# make ranges   tries the oldest and the newest packages that pyproject.toml allows, each in a new environment
# make setup    makes .venv, unless an environment with all packages is active or there already: that is used as it is, without network
# make venv     makes .venv in any case
#
# PYTHON=...            the Python to use, or to build .venv on
# DOMAIN=...            of the demo: medical, customer-service, creative
# TORCH_CPU_INDEX=...   asked for PyTorch's CPU build where no NVIDIA GPU is found and pip's own index has none; empty: never

DOMAIN ?= medical
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
export PYTHON TORCH_CPU_INDEX

.PHONY: demo test lint soak ranges setup venv

demo:
	@.ci/find-python >/dev/null || $(MAKE) --no-print-directory venv
	"$$(.ci/find-python)" -m cai_lite demo $(DOMAIN)

test: setup
	"$$(.ci/find-python dev)" -m pytest -n 2 --dist worksteal

lint: setup
	"$$(.ci/find-python dev)" -m ruff check
	"$$(.ci/find-python dev)" -m ruff format --check
	"$$(.ci/find-python dev)" -m mypy

soak: setup
	"$$(.ci/find-python dev)" -m tests.soak $(if $(SEED),--seed $(SEED)) $(if $(OUT),--out $(OUT))

ranges:
	.ci/ranges

setup:
	@.ci/find-python dev >/dev/null || $(MAKE) --no-print-directory venv
	@echo "setup: using $$(.ci/find-python dev)"

venv:
	.ci/setup
