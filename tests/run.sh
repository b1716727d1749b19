#!/usr/bin/env bash
# Runs the tests: most wait for processes, so four at a time, a file each; those that change the whole machine alone.
# Arguments go to pytest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
none_collected=5
# Hundreds of processes are started: none shall compile netmon anew.
unset PYTHONDONTWRITEBYTECODE

# Alone first: the tests are compiled by it once, and not by all four.
"$python" -m pytest -m alone "$@"
alone=$?
"$python" -m pytest -n 4 --dist loadfile -m 'not alone' "$@"
together=$?
for status in $together $alone; do
    [[ $status == 0 || $status == "$none_collected" ]] || exit "$status"
done
# Nothing at all was asked for by these arguments: say so.
((together == none_collected && alone == none_collected)) && exit "$none_collected"
exit 0
