#!/bin/sh
# The C++ tests under ASan+UBSan, then TSan. Builds everything with each (10 minutes each on 2 cores).
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
for kind in address,undefined thread; do
  folder=build/sanitize-$(echo $kind | tr , -)
  cmake -S ext -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DMULLAMA_SANITIZE=$kind \
    -DMULLAMA_PYTHON=OFF -DMULLAMA_TESTS=ON >/dev/null
  ninja -C "$folder" core_tests
  ctest --test-dir "$folder" --output-on-failure --no-tests=error
done
