"""`make conformance`, or `python -m tests.conformance NAME...`: the same tokens as upstream?

Builds upstream's programs from the pin, asks both the same, and exits with 1 if anything differs.
"""

import argparse
import importlib
import sys

NAMES = ["answers", "scheduling", "projectors"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="all without any")
    failures = 0
    for name in parser.parse_args().names or NAMES:
        module = importlib.import_module(f"tests.conformance.{name}")
        print(f"== {name}: {module.__doc__.splitlines()[0]}", flush=True)
        failures += module.main()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
