#!/usr/bin/env bash
# The whole job on the embedded contest: what you would type for a real one, with recipes that take a minute.
# `make demo` runs this with the kaggle CLI pointed at a local Kaggle.
set -euo pipefail
cd "$(dirname "$0")/.."
C=deepfake-digits
PATH="$PWD/.venv/bin:$PATH"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step python -m competition download -c $C
step python -m folds -c $C
step python train.py -c $C -r digits-plain digits-residual
step python infer.py runs/$C/digits-plain-s0 runs/$C/digits-residual-s0
step python ensemble.py -c $C
step ./submit.sh -c $C
