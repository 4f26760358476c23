"""Round the trained tensors to half precision and put them where the package ships them."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from mullama_media.hub.tiny_omni.assemble import WEIGHTS


def main() -> None:
    """Write the shipped file from one or more training results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, nargs="+", help="later files win")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    tensors: dict[str, torch.Tensor] = {}
    for source in args.sources:
        tensors.update(load_file(source))
    save_file(
        {name: tensors[name].to(torch.float16).contiguous() for name in sorted(tensors)}, args.out
    )
    args.out.chmod(0o644)
    print(f"{args.out}: {len(tensors)} tensors, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
