# make demo: from a synthetic cohort to the report. `make` alone lists the rest.
# Needs make and Python 3.11, 3.12 or 3.13 (and a C compiler where a package has no wheel); the rest goes into .venv,
# from hashed locks.

CORES ?= all
VENV := .venv
BIN := $(VENV)/bin
UV ?= $(BIN)/uv
LOCK := requirements/default.txt
PYTHONS := python3.13 python3.12 python3.11 python3
SUITABLE := -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE)
PHANTOM := $(wildcard workflow/reperfuse/phantom/*.py)

export PYTHONNOUSERSITE := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-cluster chaos lint acute-dwi acute-pwi dsc-dro soop soop-outcome soop-severity weights bench null-cohorts soop-fusion perfusion-accuracy transformation-phantom fusion-phantom docs lock pins slurm clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

install: $(VENV)/.default ## the locked packages into .venv

demo: $(VENV)/.default demo/.cohort ## a synthetic cohort through every step, up to the report
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml
	@echo "The report: $(CURDIR)/demo/results/report/index.html"

test: lint ## lint, then every test, with coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered

test-cluster: $(VENV)/.dev $(VENV)/.slurm ## on a private Slurm, in conda environments, and killed; as root, with the packages of .ci/run
	$(BIN)/python -m pytest -m "cluster or chaos" tests/cluster tests/chaos

chaos: $(VENV)/.dev ## ten runs of which each is killed five times; about half an hour
	REPERFUSE_CHAOS_RUNS=10 $(BIN)/python -m pytest -m chaos tests/chaos

lint: $(VENV)/.dev build/tiny/.cohort ## style, types, and Snakemake's own advice
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/mypy
	$(BIN)/snakemake --lint --configfile config/tiny.yaml

acute-dwi: $(VENV)/.default ## three real scans from three sources, at ../shared/data; writes docs/results
	$(BIN)/snakemake --cores $(CORES) --configfile config/acute-dwi.yaml
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.reporting.results results/acute-dwi docs/results/acute-dwi.md \
		"make acute-dwi" resources/reference/acute-dwi.tsv

acute-pwi: $(VENV)/.default ## perfusion series SIMULATED in the anatomy of three real scans, at ../shared/data; writes docs/results
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.phantom.borrowed anatomy \
		../shared/data/acute-dwi build/acute-pwi/bids build/acute-pwi/truth
	$(BIN)/snakemake preprocess --cores $(CORES) --configfile config/acute-pwi.yaml
	$(BIN)/python tests/perfusion/borrowed_anatomy.py results/acute-pwi build/acute-pwi/truth docs/results/acute-pwi.md "make acute-pwi"

dsc-dro: $(VENV)/.default ## a published concentration series as a perfusion series, at ../shared/data
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.phantom.borrowed reference-object \
		../shared/data/dsc-dro build/dsc-dro/bids build/dsc-dro/truth
	$(BIN)/snakemake preprocess --cores $(CORES) --configfile config/dsc-dro.yaml

soop: $(VENV)/.default ## 972 real lesion masks, at ../shared/data; writes docs/results; about half an hour
	$(BIN)/snakemake preprocess --cores $(CORES) --configfile config/soop.yaml
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.reporting.results results/soop docs/results/soop.md "make soop"

bench: $(VENV)/.dev ## measure what it costs, side by side; writes docs/performance.md; ONLY="parse indexing" for some
	$(BIN)/python benchmarks/suite.py $(ONLY)

null-cohorts: $(VENV)/.default ## what the outcome study's tests say of noise; writes docs/results
	$(BIN)/python tests/studies/outcome/null_cohorts.py docs/results/null-cohorts.md

perfusion-accuracy: $(VENV)/.default ## how well delay, flow and volumes are found; writes docs/results; minutes
	$(BIN)/python tests/perfusion/accuracy.py docs/results/perfusion.md

transformation-phantom: $(VENV)/.default build/transformation/.cohort ## the protocol of the paper on 40 synthetic patients; writes docs/results; about a quarter of an hour
	$(BIN)/snakemake transformation --cores $(CORES) --configfile config/papers/transformation.yaml config/phantom.yaml
	$(BIN)/python tests/studies/transformation/against_truth.py build/transformation/results \
		build/transformation/truth docs/results/transformation.md "make transformation-phantom"

fusion-phantom: $(VENV)/.default build/fusion/.cohort ## strata of 200 synthetic patients against the truth; writes docs/results; about an hour
	$(BIN)/snakemake fusion --cores $(CORES) --configfile config/fusion-phantom.yaml
	$(BIN)/python tests/studies/fusion/against_truth.py build/fusion/results \
		build/fusion/truth docs/results/fusion.md "make fusion-phantom"

docs: $(VENV)/.default ## write config/README.md from the schemas
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.core.settings

lock: $(VENV)/.dev ## resolve the locks again; UPGRADE=--upgrade takes newer versions
	$(COMPILE) --override requirements/overrides.txt --output-file $(LOCK) requirements/default.in
	$(COMPILE) --override requirements/overrides.txt --output-file requirements/dev.txt requirements/dev.in
	$(COMPILE) --output-file requirements/fetch.txt requirements/fetch.in
	$(COMPILE) --no-deps --output-file requirements/slurm.txt requirements/slurm.in

pins: $(VENV)/.dev ## pin the conda environments for linux-64; where conda-forge can be reached
	$(BIN)/python envs/pin.py $(wildcard envs/*.yaml)

weights: $(VENV)/.fetch ## fetch MedicalNet's weights from the Hugging Face hub into weights/
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.learning.fetch weights/resnet_50_23dataset.safetensors

soop-outcome: $(VENV)/.default ## the outcome study on the 473 lesion masks with discharge mRS; writes docs/results
	$(BIN)/snakemake outcome --cores $(CORES) --configfile config/soop.yaml
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.reporting.study_results results/soop/outcome \
		docs/results/soop-outcome.md "make soop-outcome" outcome

soop-severity: $(VENV)/.default ## the severity study on the 729 lesion masks with NIHSS; writes docs/results; hours
	$(BIN)/snakemake severity --cores $(CORES) --configfile config/soop.yaml
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.reporting.study_results results/soop/severity \
		docs/results/soop-severity.md "make soop-severity" severity

soop-fusion: $(VENV)/.default ## strata of the 972 lesion masks, and what volume alone explains; writes docs/results; an hour
	$(BIN)/snakemake fusion --cores $(CORES) --configfile config/soop.yaml
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.reporting.study_results results/soop/fusion \
		docs/results/soop-fusion.md "make soop-fusion" fusion

slurm: $(VENV)/.slurm ## add the Slurm executor that profiles/slurm asks for

clean: ## remove what the targets made, except .venv and Snakemake's memory
	rm -rf demo build dist .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/out

# Environments: a stamp in .venv is as new as the lock that was installed.
$(BIN)/python:
	@python="$(PYTHON)"; \
	for candidate in $(PYTHONS); do \
	    if [ -z "$$python" ] && "$$candidate" $(SUITABLE) 2>/dev/null; then python="$$candidate"; fi; \
	done; \
	if [ -z "$$python" ] || ! "$$python" $(SUITABLE); then \
	    echo "Python 3.11, 3.12 or 3.13 with ensurepip is needed (Debian: python3-venv);" \
	        "found $${python:-none}. Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV)

$(VENV)/.default: $(LOCK) requirements/torch.txt | $(BIN)/python
	$(INSTALL) -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	@touch $@

$(VENV)/.dev: $(LOCK) requirements/dev.txt | $(VENV)/.default
	$(INSTALL) -r $(LOCK) -r requirements/dev.txt
	@touch $@

$(VENV)/.slurm: requirements/slurm.txt | $(VENV)/.default
	$(INSTALL) -r $<
	@touch $@

$(VENV)/.fetch: requirements/fetch.txt | $(VENV)/.default
	$(INSTALL) -r $<
	@touch $@

# Cohorts
demo/.cohort: $(PHANTOM) | $(VENV)/.default
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.phantom demo/bids demo/truth n=12
	@touch $@

# Seed 20 is the first of which eight patients are four of either grade, none related, so that every study has its folds.
build/tiny/.cohort: $(PHANTOM) | $(VENV)/.default
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.phantom build/tiny/bids build/tiny/truth \
		n=8 seed=20 'shape=[32, 36, 12]' 'spacing_mm=[6.5, 6.5, 12]'
	@touch $@

# Seed 8 is the first of which ten patients with haemorrhage can take part, one for each fold.
build/transformation/.cohort: $(PHANTOM) | $(VENV)/.default
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.phantom build/transformation/bids build/transformation/truth \
		n=40 seed=8 pwi_missing_mild=0 pwi_missing_other=0 left_before_j1=0 'mcar={gre: 0, flair: 1, t1w: 1}'
	@touch $@

# The default seed, so that the planted strata are those of the frozen cohort; without what the study does not look at.
build/fusion/.cohort: $(PHANTOM) | $(VENV)/.default
	PYTHONPATH=workflow $(BIN)/python -m reperfuse.phantom build/fusion/bids build/fusion/truth \
		n=200 'mcar={pwi: 1, flair: 0, t1w: 0, adc: 0, trace: 0, gre: 1}' left_before_j1=1
	@touch $@
