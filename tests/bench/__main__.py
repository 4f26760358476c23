"""`make bench`, or `python -m tests.bench [NAME [ARGUMENT...]]`: figures beside a peer.

Pairs are taken in turn. Prints medians and ratios; asserts nothing, since machines differ and are
shared.
"""

import importlib
import sys

NAMES = [
    *("single", "streams", "stall", "guesses", "media", "captions", "many", "ring", "audio"),
    *("voice", "latency"),
]


def main() -> None:
    wanted, arguments = sys.argv[1:2], sys.argv[2:]
    if wanted and wanted[0] not in NAMES:
        sys.exit(f"{__doc__}\nNAME: {', '.join(NAMES)}")
    for name in wanted or NAMES:
        module = importlib.import_module(f"tests.bench.{name}")
        print(f"== {name}: {module.__doc__.splitlines()[0]}", flush=True)
        module.main(*arguments)


if __name__ == "__main__":
    main()
