#!/usr/bin/env bash
# From Kaggle's zip of the real contest to the README's table of recipes: a night on a GPU. Stop it whenever you like:
# the same command goes on. It submits nothing.
#
#   scripts/unibuc.sh [OPTIONS OF train.py]     --launcher local, --set schedule.epochs=8, …
#   ANSWERS=solution.csv scripts/unibuc.sh      where you have the test rows' labels
#   RECIPES="mine other" scripts/unibuc.sh      beside the starting point; CONTEST=my.yaml another contest
#
# `make unibuc` installs what is needed first.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
C=${CONTEST:-unibuc-deepfake}
read -ra recipes <<< "${RECIPES:-trace-resnet trace-resnet-cutmix trace-resnet-no-flips}"
runs=("${recipes[@]/%/-s0}")
# The starting point is four CNNs, soft-voted with equal weights. Its author varied hidden width, weight decay,
# augmentation and seed; only the widths are known, so these are two widths with two seeds each.
plain=(plain-cnn-s0 plain-cnn-s1 plain-cnn-256-s0 plain-cnn-256-s1)

step() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

step python -m competition download -c "$C"
step python -m folds -c "$C"
step python train.py -c "$C" -r "${recipes[@]}" "$@"
step python train.py -c "$C" -r plain-cnn plain-cnn-256 --seed 0 1 "$@"
step python infer.py -c "$C" "${plain[@]}" "${runs[@]}"
step python ensemble.py -c "$C" --method uniform --name starting-point "${plain[@]}"
step python ensemble.py -c "$C" --name all-recipes "${plain[@]}" "${runs[@]}"
step python -m pipeline.table -c "$C" ${ANSWERS:+--answers "$ANSWERS"} \
    "${plain[@]}" starting-point "${runs[@]}" all-recipes
