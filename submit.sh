#!/usr/bin/env bash
# Validates a submission, sends it with the kaggle CLI, waits for the score and writes the ledger.
#   ./submit.sh -c CONTEST [-f FILE] [-m TEXT] [--dry-run] [--force] [--yes]
# Can be started from any folder; all paths, the usual data/ and runs/ too, are relative to the folder you are in.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

if [[ -n "${VIRTUAL_ENV:-}" && -x "$VIRTUAL_ENV/bin/python" ]]; then
    python="$VIRTUAL_ENV/bin/python"
elif [[ -x "$root/.venv/bin/python" ]]; then
    python="$root/.venv/bin/python"
else
    python=python3
fi

PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m competition submit "$@"
