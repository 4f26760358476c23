#!/bin/sh
# Make .venv with mullama_media built into it (editable) and the tools its tests use.
# Does nothing when nothing has changed. Run by `make`; safe to run at any time.
set -eu
cd "$(dirname "$0")/.."

fail() { printf 'setup: %s\n' "$1" >&2; printf '       %s\n' "$2" >&2; exit 1; }

python=
for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$name; break; fi
done
[ -n "$python" ] || fail "no Python 3.11 or newer was found" \
  "Debian 12, Ubuntu 24.04: sudo apt install python3 python3-venv python3-dev"
"$python" -c 'import venv, ensurepip' 2>/dev/null || fail "$python cannot make virtual environments" \
  "Debian, Ubuntu: sudo apt install python3-venv"
command -v "${CXX:-c++}" >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 \
  || fail "no C++ compiler was found" "Debian, Ubuntu: sudo apt install g++   macOS: xcode-select --install"
"$python" -c 'import pathlib, sys, sysconfig; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())' \
  || fail "the headers of $python are missing" "Debian, Ubuntu: sudo apt install python3-dev"

# What the installed build depends on: sources, build options, the interpreter, and which modules
# there are (an editable install knows them by name).
state=$({ "$python" -V; env | grep -E '^(LLAMA_|CMAKE_|CC=|CXX=|MULLAMA_LLAMA)' || true
          find pyproject.toml ext llama.cpp/pin.toml llama.cpp/fetch.py samples/*.* -type f \
            -exec cksum {} + | sort -k3; find mullama_media -name '*.py' | sort; } | cksum)
if [ -f .venv/mullama.state ] && [ "$(cat .venv/mullama.state)" = "$state" ]; then exit 0; fi

[ -x .venv/bin/python ] || { echo "setup: making .venv"; "$python" -m venv .venv; }
pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip"
echo "setup: installing build tools"
$pip install -q --upgrade "pip>=23.1" "scikit-build-core>=1.1" "nanobind>=3.1,<4" cmake ninja 2>&1 | grep -v '^WARNING: Location' || true
echo "setup: building (about 7 minutes the first time on 2 cores; output in build/setup.log)"
mkdir -p build
start=$(date +%s)
PATH="$PWD/.venv/bin:$PATH" $pip install -v --no-build-isolation -Ccmake.define.MULLAMA_TESTS=ON -e '.[dev]' \
  >build/setup.log 2>&1 &
job=$!
while kill -0 $job 2>/dev/null; do
  step=$(grep -oE '\[[0-9]+/[0-9]+\]' build/setup.log 2>/dev/null | tail -n 1 || true)
  if [ -t 1 ]; then printf '\rsetup: %s %ss ' "$step" "$(($(date +%s) - start))"; fi
  sleep 1
done
[ -t 1 ] && echo
if ! wait $job; then
  grep -nE 'error|Error' build/setup.log | head -n 20 >&2 || true
  tail -n 15 build/setup.log >&2
  fail "the build failed" "The whole log is in build/setup.log"
fi
echo "setup: built in $(($(date +%s) - start)) s"
printf '%s\n' "$state" >.venv/mullama.state
