# make demo    set up, then the whole job on the embedded contest
# make test    set up, then the tests
# make unibuc          set up, then the real contest: all recipes, all folds, and the README's table
# make fashion-mnist   set up, then the same for Fashion-MNIST
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
KAGGLE_CLI := kaggle==2.2.5 kagglesdk==0.1.38
# On all cores, up to four, as a worker takes a gigabyte; in the order of tests/conftest.py.
PYTEST := -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
KAGGLE_TESTS := $(addprefix tests/test_,kaggle.py faults.py ledger.py)

.PHONY: demo test unibuc fashion-mnist lint test-lowest test-kaggle test-ray setup clean

demo: setup
	$(PY) -m competition serve -c deepfake-digits -- scripts/demo.sh

test: setup
	$(PY) $(PYTEST)

unibuc fashion-mnist: setup
	scripts/$@.sh

setup: $(VENV)/installed

$(VENV)/installed: requirements.txt requirements-dicom.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip' || { echo "Python's venv module is missing: apt install python3-venv"; exit 2; }
	@echo "installing the requirements into $(VENV) (once; torch is large, so this takes some minutes)"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dicom.txt
	@touch $@

# The oldest versions that requirements.txt allows.
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -r requirements.txt -r requirements-dicom.txt
	.venv-lowest/bin/python $(PYTEST)

# What talks to Kaggle, with the other kaggle CLI: pip holds it back where the certifi that it wants cannot be had.
test-kaggle: setup
	$(PYTHON) -m venv .venv-kaggle
	$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > `.venv-kaggle/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'`/kit.pth
	.venv-kaggle/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --ignore-installed $(KAGGLE_CLI)
	.venv-kaggle/bin/kaggle --version
	.venv-kaggle/bin/python $(PYTEST) $(KAGGLE_TESTS)

# --launcher ray, on a real cluster: some machines in this one, without a network but their own.
test-ray: setup
	$(PYTHON) -m venv .venv-ray
	$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > `.venv-ray/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'`/kit.pth
	.venv-ray/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-ray.txt
	REQUIRE_RAY=1 .venv-ray/bin/python -m pytest tests/test_ray.py

lint: setup
	$(PY) -m pip install --quiet --disable-pip-version-check 'ruff>=0.17,<0.18'
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

clean:
	rm -rf $(VENV) .venv-lowest .venv-kaggle .venv-ray data/deepfake-digits data/.local-kaggle/deepfake-digits runs/deepfake-digits
