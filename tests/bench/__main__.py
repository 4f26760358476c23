"""`make bench`, or `python -m tests.bench NAME...`: figures beside a peer, in pairs taken in turn.

Prints medians and ratios; asserts nothing, since machines differ and are shared.
"""

import argparse
import importlib
from pathlib import Path

NAMES = sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="all without any")
    for name in parser.parse_args().names or NAMES:
        module = importlib.import_module(f"tests.bench.{name}")
        print(f"== {name}: {module.__doc__.splitlines()[0]}", flush=True)
        module.main()


if __name__ == "__main__":
    main()
