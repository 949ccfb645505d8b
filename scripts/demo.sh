#!/usr/bin/env bash
# The whole job on the embedded contest: what you would type for a real one, with fewer epochs.
# `make demo` runs this with the kaggle CLI pointed at a local Kaggle.
set -euo pipefail
cd "$(dirname "$0")/.."
C=deepfake-digits
PATH="$PWD/.venv/bin:$PATH"

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step python -m competition download -c $C
step python -m folds -c $C
step python train.py -c $C -r plain-cnn --set schedule.epochs=10
step python train.py -c $C -r trace-resnet --set schedule.epochs=10
step python infer.py runs/$C/plain-cnn-s0 runs/$C/trace-resnet-s0
step python ensemble.py -c $C
step ./submit.sh -c $C
