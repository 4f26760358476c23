#!/bin/sh
# Everything a change must pass. CI runs this and nothing else; so can you.
set -eu
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
PATH="$bin:$PATH"
export PATH

echo "== ruff";   ruff check . && ruff format --check .
echo "== mypy";   mypy
echo "== ctest";  ctest --test-dir "$(ls -d build/cp*/ | head -n 1)" --output-on-failure --no-tests=error
echo "== apt";    scripts/apt.sh
echo "== models"; mullama pull tiny-omni; mullama pull whisper:tiny.en; mullama pull whisper:base
echo "== pytest"; pytest "$@"
