#!/usr/bin/env bash
# Fashion-MNIST as a contest, from the four IDX files to the test accuracy. Stop it whenever you like: the same command
# goes on. The files come from Debian's package dataset-fashion-mnist, or from the folder FASHION_MNIST.
#
#   scripts/fashion-mnist.sh [OPTIONS OF train.py]   --launcher local, --set schedule.epochs=2, …
#   RECIPES="fashion-compact fashion-trace fashion-wide" scripts/fashion-mnist.sh      with a GPU
#
# `make fashion-mnist` installs what is needed first.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
C=fashion-mnist
read -ra recipes <<< "${RECIPES:-fashion-compact fashion-trace}"
runs=("${recipes[@]/%/-s0}")
kaggle=(python -m competition serve -c $C --zip data/$C.zip --answers data/$C.answers.csv --)

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step python -m competition.stand_in.fashion_mnist ${FASHION_MNIST:+"$FASHION_MNIST"}
step python -m folds -c $C
step python train.py -c $C -r "${recipes[@]}" "$@"
step python infer.py -c $C "${runs[@]}"
step python ensemble.py -c $C --name all-recipes "${runs[@]}"
step "${kaggle[@]}" ./submit.sh -c $C
step python -m pipeline.table -c $C --answers data/$C.answers.csv "${runs[@]}" all-recipes
