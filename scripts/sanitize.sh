#!/bin/sh
# Everything native under sanitizers: the C++ tests, then random interleavings from Python.
#
#   scripts/sanitize.sh address|thread             build (25 minutes of one core), then both
#   scripts/sanitize.sh address|thread COMMAND...  run a command with that build's Python instead
#
# With `-ours` behind the kind llama.cpp is built as always and our code alone instrumented: a few
# minutes, and it runs at nearly full speed. Needs gcc on Linux and a .venv (make setup); the builds
# live in build/sanitize-*.
set -eu
cd "$(dirname "$0")/.."
kind=${1:?address or thread}
shift
all=ON
case $kind in *-ours) all=OFF ;; esac
folder=build/sanitize-$kind
kind=${kind%-ours}
case $kind in
  address) flags=address,undefined library=libasan ;;
  thread) flags=thread library=libtsan ;;
  *) echo "sanitize: '$kind' is neither address nor thread" >&2; exit 2 ;;
esac
root=$PWD
python=$root/$folder/venv/bin/python

if [ ! -x "$python" ]; then
  # Packages come from .venv; its own build of this package does not, for .pth files do not nest.
  .venv/bin/python -m venv --without-pip "$folder/venv"
  .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/packages.pth"
fi
if [ "${MULLAMA_SANITIZE_BUILD:-1}" = 1 ]; then
  PATH="$root/.venv/bin:$PATH" "$python" -m pip install -q --no-build-isolation --no-deps -Cbuild-dir="$folder" -Cinstall.strip=false \
    -Ccmake.define.MULLAMA_SANITIZE="$flags" -Ccmake.define.MULLAMA_SANITIZE_ALL="$all" -Ccmake.define.MULLAMA_TESTS=ON -e . >"$folder/build.log" 2>&1 \
    || { tail -n 40 "$folder/build.log" >&2; exit 1; }
fi

# Python itself is not instrumented: the runtime has to be there before it. Leaks of the interpreter
# are not ours; the C++ tests are where leaks count.
supp=$root/ext/tests
export ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:halt_on_error=1:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
export LSAN_OPTIONS="suppressions=$supp/lsan.supp:${LSAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:suppressions=$supp/ubsan.supp:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=0:second_deadlock_stack=1:history_size=4:suppressions=$supp/tsan.supp:${TSAN_OPTIONS:-}"
# With libstdc++, or the runtime finds no __cxa_throw to stand before.
# Of what is not instrumented the runtime sees memcpy, but not how OpenMP orders its threads.
[ $all = ON ] || export OMP_THREAD_LIMIT=1
preload="$(gcc -print-file-name=$library.so) $(gcc -print-file-name=libstdc++.so.6)"

if [ $# -gt 0 ]; then
  [ "$1" = python ] && { shift; set -- "$python" "$@"; }
  LD_PRELOAD="$preload" exec "$@"
fi
ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=1" ctest --test-dir "$folder" --output-on-failure --no-tests=error
LD_PRELOAD="$preload" "$python" -m tests.stress --count 1000
