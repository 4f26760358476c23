"""`mullama info`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from mullama_media.engine import SystemInfo, system_info

__all__ = ["info"]

_MIB = 1 << 20


def info(*, as_json: bool) -> None:
    """Print what this build is and what it found."""
    found = system_info()
    typer.echo(json.dumps(asdict(found), indent=2) if as_json else _text(found))


def _text(found: SystemInfo) -> str:
    rows = [
        ("mullama_media", found.version),
        ("llama.cpp", f"{found.llama_cpp_version} ({found.llama_cpp_pin})"),
        ("backends", ", ".join(found.backends)),
        ("CPU features", " ".join(found.cpu_features)),
        ("threads", str(found.threads)),
    ]
    for device in found.devices:
        free, total = device.memory_free // _MIB, device.memory_total // _MIB
        rows.append(
            (f"device {device.name}", f"{device.description.strip()}, {free} of {total} MiB free")
        )
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
