# The course: `make run` does everything from set-up to read images; `make test` checks everything.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?=
PARAMS ?=
RUN    ?=
RESUME ?=

.PHONY: run test check format read sweep soak bench lab kaggle weights language refresh clean help

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

run: $(VENV)/ready  ## the whole course: data, training, evaluation, reading [DATA=data/set PARAMS=file.yaml RUN=runs/name RESUME=1]
	@$(BIN)/python -W ignore notebooks/run.py $(if $(DATA),--data $(DATA)) $(if $(PARAMS),--params $(PARAMS)) $(if $(RUN),--run $(RUN)) $(if $(RESUME),--resume)

test: $(VENV)/ready  ## lint, and all tests of the package and the notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest -q tests
	TQDM_DISABLE=1 $(BIN)/python -m pytest -q --nbval-lax notebooks

check: $(VENV)/ready  ## for every change: lint, the layers, and the tests of the ten files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest -q -m "not slow" tests/test_layers.py tests/core

format: $(VENV)/ready  ## format the code and sort its imports
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

read: $(VENV)/ready  ## read a folder, pattern, archive or list of paths into a table [IMAGES=scans OUT=texts.csv MODEL=names JOBS=2; whole pages: PAGES=alto]
	@test -n "$(IMAGES)" -a -n "$(OUT)" || { echo "make read IMAGES=folder-or-pattern-or-archive OUT=texts.csv (or .parquet)"; exit 2; }
	@$(BIN)/python -m hwrlib.batch.read "$(IMAGES)" --out "$(OUT)" $(if $(MODEL),--model $(MODEL)) $(if $(PAGES),--pages $(PAGES)) --jobs $(or $(JOBS),1) $(if $(CLUSTER),--cluster $(CLUSTER))

sweep: $(VENV)/ready  ## many runs with other values, compared [SWEEP=notebooks/sweeps/augment.yaml JOBS=2 CLUSTER=tcp://host:8786]
	@$(BIN)/python -W ignore -m hwrlib.batch.sweep $(or $(SWEEP),notebooks/sweeps/augment.yaml) --jobs $(or $(JOBS),1) $(if $(CLUSTER),--cluster $(CLUSTER)) $(if $(OUT),--out $(OUT)) $(if $(YES),--yes)

soak: $(VENV)/ready  ## what takes longer than a test: 1,000 kills, a table of bad input, minutes of damaged files [SECONDS=120]
	KILLS=200 $(BIN)/python -m pytest -q tests/robustness/test_kills.py -s
	$(BIN)/python tests/robustness/corpus.py
	$(BIN)/python tests/robustness/fuzz.py --seconds $(or $(SECONDS),120)

bench: $(VENV)/ready  ## how fast this machine trains and reads [DATA=data/set BENCH="--only reading"]
	$(BIN)/python -m benchmarks $(if $(DATA),--data $(DATA)) $(BENCH)

lab: $(VENV)/ready  ## JupyterLab on the notebooks
	$(BIN)/jupyter lab --notebook-dir=. notebooks/00_start_here.ipynb

kaggle: $(VENV)/ready  ## the Kaggle archive into data/kaggle: make kaggle ARCHIVE=path
	@test -n "$(ARCHIVE)" || { echo "make kaggle ARCHIVE=path/to/the/archive.zip (or the folder it unpacks to)"; exit 2; }
	$(BIN)/python -m hwrlib.sources kaggle "$(ARCHIVE)" --out data/kaggle $(if $(OVERWRITE),--overwrite)

weights: $(VENV)/ready  ## train the shipped weights again, from data/kaggle and data/lines (ten hours; resumes after an interruption) [PAGES=folder of transcribed pages]
	$(BIN)/pip install -qq -e ".[weights]"
	$(BIN)/python -m benchmarks.word_lists names data/french_names.csv
	test -d data/spliced || $(BIN)/python -m hwrlib.sources.splices data/kaggle --out data/spliced --count 24000 --seed 1
	for splices in "spliced_more 12000 2" "spliced_photo 12000 3"; do set -- $$splices; test -d data/$$1 || \
	  $(BIN)/python -m hwrlib.sources.splices data/kaggle --out data/$$1 --count $$2 --seed $$3 --text data/french_names.csv || exit 1; done
	for rendered in "10k 10000 0" "3k 3000 5"; do set -- $$rendered; \
	  $(BIN)/python -m hwrlib.synthetic --out data/synthetic$$1 --train $$2 --validation 10 --test 10 --seed $$3 || exit 1; done
	for step in names_spliced names_more names_last names_photo names_paper \
	    lines lines_more lines_tall lines_all lines_photo lines_wide lines_deep; do \
	  $(BIN)/python -m hwrlib.runs.fit -f notebooks/params/$$step.yaml --run runs/$$step --resume || exit 1; \
	  case $$step in names_photo) $(BIN)/python -m hwrlib.runs.blend runs/$$step --keep 0.4;; \
	    names_paper|lines_deep) $(BIN)/python -m hwrlib.runs.blend runs/$$step;; esac || exit 1; done
	$(BIN)/python -m hwrlib.models.export runs/names_paper/blended_model.pth hwrlib/weights/names.onnx --bits 6
	$(BIN)/python -m hwrlib.models.export runs/lines_deep/blended_model.pth hwrlib/weights/lines.onnx --bits 6
	$(MAKE) language
	$(if $(PAGES),$(BIN)/python -m hwrlib.runs.pages "$(PAGES)" --out runs/pages.pth --steps 6500 --onnx hwrlib/weights/pages.onnx)

language: $(VENV)/ready  ## fit the language models of the shipped weights again, from the same data (three minutes)
	$(BIN)/pip install -qq -e ".[weights]"
	$(BIN)/python -m benchmarks.word_lists names data/french_names.csv
	$(BIN)/python -m benchmarks.word_lists words data/french_words.csv
	$(BIN)/python -m hwrlib.runs.language names --data data/kaggle --text data/french_names.csv \
	  --corrections hwrlib/weights/names_corrections.csv
	$(BIN)/python -m hwrlib.runs.language lines --data data/lines --text data/french_words.csv

refresh: $(VENV)/ready  ## execute all notebooks again, to be committed
	for notebook in notebooks/0*.ipynb; do \
	  TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace $$notebook || exit 1; done
	$(BIN)/python notebooks/static.py notebooks/0*.ipynb
	$(BIN)/nbstripout --keep-output --keep-count --keep-id \
	  --extra-keys "metadata.papermill cell.metadata.papermill cell.metadata.execution metadata.language_info.version" \
	  notebooks/0*.ipynb

# One virtual environment, made once, and again when the dependencies change.
$(VENV)/ready: pyproject.toml
	@echo "Installing the course into $(VENV): PyTorch with CUDA is several GB, so this takes some minutes the first time ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --upgrade pip
	@$(BIN)/pip install -qq -e ".[course,cluster]"
	@touch $@

clean:           ## remove the environment (data and runs stay)
	rm -rf $(VENV)
