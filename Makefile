# make help      lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
DATA ?= data_cache/shapes
SEED ?= 17
TOUR_DATA = data_cache/tour
TOUR = runs/tour-$(SEED)
TOUR_PROCESSES ?= 2
TOUR_COMPOSER = OMP_NUM_THREADS=1 $(BIN)/composer -n $(TOUR_PROCESSES)
STAMP = $(VENV)/.setup-$(shell cksum < pyproject.toml | cut -d' ' -f1)

.PHONY: help setup train tour test proofs soak lint format docs chromium bench ablations clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: $(STAMP) ## make .venv and install the project into it (about 6 minutes and 7 GB the first time)
	@[ "$$(cat $(STAMP))" = "$(CURDIR)" ] || { $(BIN)/pip install --quiet --no-deps --editable . && echo "$(CURDIR)" > $(STAMP); }

$(STAMP):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12) else \
	  f"error: $(PYTHON) is Python {v[0]}.{v[1]}; molmo-foundry needs 3.10, 3.11 or 3.12. Use make PYTHON=python3.11 …")'
	@echo 'Installing molmo-foundry with torch, Composer and LLM-Foundry into $(VENV): about 6 minutes and 7 GB.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --upgrade --quiet pip
	$(BIN)/pip install --progress-bar on --editable '.[test]'
	@rm -f $(VENV)/.setup-*
	@echo "$(CURDIR)" > $@

$(DATA)/validation/index.json: | setup
	$(BIN)/molmo-foundry data render --out $(DATA)

train: setup $(DATA)/validation/index.json ## train a tiny Molmo on rendered images, on the CPU (4 minutes)
	$(BIN)/composer scripts/train.py yamls/tiny/pretrain.yaml variables.data=$(DATA)
	$(BIN)/composer scripts/eval.py yamls/tiny/eval.yaml name=tiny-pretrain \
	  load_path=runs/tiny-pretrain/checkpoints/latest-rank0.pt evaluator.data='$(DATA)/{split}' \
	  evaluator.tasks=[shapes_caption] evaluator.max_examples=64 model.overrides.prompt_type=none \
	  model.overrides.message_formatting=none model.overrides.system_prompt_kind=style_and_length
	@echo 'What it writes about pictures: $(CURDIR)/runs/tiny-eval/tiny-pretrain/index.html'

tour: setup ## train a small Molmo in two stages and measure every skill, on the CPU (47 minutes on two cores; SEED=18 for another)
	$(BIN)/python scripts/tour data --out $(TOUR_DATA)
	$(TOUR_COMPOSER) scripts/train.py yamls/tour/pretrain.yaml variables.data=$(TOUR_DATA) variables.seed=$(SEED) \
	  variables.run_folder=$(TOUR)/pretrain
	$(TOUR_COMPOSER) scripts/train.py yamls/tour/multitask.yaml variables.data=$(TOUR_DATA) variables.seed=$(SEED) \
	  variables.run_folder=$(TOUR)/multitask variables.start=$(TOUR)/pretrain/checkpoints/latest-rank0.pt
	$(TOUR_COMPOSER) scripts/eval.py yamls/tour/eval.yaml load_path=$(TOUR)/multitask/checkpoints/latest-rank0.pt \
	  variables.data=$(TOUR_DATA) variables.run_folder=$(TOUR)/eval
	$(TOUR_COMPOSER) scripts/eval.py yamls/tour/eval.yaml load_path=$(TOUR)/multitask/checkpoints/latest-rank0.pt \
	  variables.data=$(TOUR_DATA)/blank variables.run_folder=$(TOUR)/eval-blank
	$(BIN)/python scripts/tour majority --data $(TOUR_DATA) --out $(TOUR)/majority.json
	$(BIN)/python scripts/tour report $(TOUR) --figure $(TOUR)/tour.svg
	@echo 'All questions with their pictures: $(CURDIR)/$(TOUR)/eval/tour-multitask/index.html'

test: setup ## run the tests
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

proofs: setup ## run the slow proofs: kill -9 and resume from S3, stages one after the other, …
	$(BIN)/python -m pytest -m proof

soak: setup ## kill a packed run of two ranks twenty times; it must end as if nothing had happened (20 minutes)
	$(BIN)/python -m pytest -s -m proof tests/recipes/test_soak.py

lint: setup ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: setup ## reformat the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup ## build the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

chromium: ## install the browser that the tests look at pages with (Debian; needs root)
	apt-get update && apt-get install -y --no-install-recommends chromium

bench: setup ## make the tables of docs/benchmarks.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/image_path.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/loader.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/packing.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/packing_realised.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training_step.py --sizes tiny
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/decode.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/startup.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/rank_memory.py
	$(BIN)/python benchmarks/scaling.py

ablations: setup ## try findings of the paper on the tiny model, with three seeds (31 minutes on 2 cores; again to go on)
	$(BIN)/python benchmarks/ablations.py

clean: ## remove runs and rendered data (not .venv)
	rm -rf runs data_cache
