"""python -m tests.stress [--count N] [--seed N] [--no-media]: prints what was done, or what failed.

Interleaving number i of seed s is always the same plan (`--seed s --first i --count 1` repeats
it); how the threads meet is up to the machine. Meant for the sanitizer builds
(scripts/sanitize.sh); a few run with the ordinary tests.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from tests.stress.interleave import interleave
from tests.stress.world import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--no-media", action="store_true")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one interleaving")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    began = time.monotonic()
    requests = answers = 0
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), media_too=not args.no_media)
        for number in range(args.first, args.first + args.count):
            ledger = interleave(world, random.Random(f"{args.seed}:{number}"), args.timeout)
            requests += len(ledger.natives)
            answers += ledger.answers
            if (number + 1) % 50 == 0:
                took = time.monotonic() - began
                print(
                    f"{number + 1}: {requests} requests, {answers} read, {took:.0f} s", flush=True
                )
    took = time.monotonic() - began
    print(f"{args.count} interleavings, {requests} requests, {answers} read whole, {took:.0f} s")


if __name__ == "__main__":
    main()
