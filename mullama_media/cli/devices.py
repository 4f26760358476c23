"""`mullama devices`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from mullama_media.cli.progress import console
from mullama_media.io.devices import AudioDevice, input_devices, output_devices

__all__ = ["devices"]


def devices(*, as_json: bool) -> None:
    """Print what PortAudio sees."""
    inputs, outputs = input_devices(), output_devices()
    if as_json:
        found = {"inputs": inputs, "outputs": outputs}
        typer.echo(json.dumps({k: [asdict(d) for d in v] for k, v in found.items()}, indent=2))
        return
    typer.echo(_table("microphones", inputs))
    typer.echo()
    typer.echo(_table("loudspeakers", outputs))
    if not inputs and not outputs:
        console.print("PortAudio sees no device; a sound server may not be running")


def _table(title: str, found: list[AudioDevice]) -> str:
    if not found:
        return f"{title}: none"
    rows = [("", title, "through", "channels", "Hz", "latency ms"), *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _row(device: AudioDevice) -> tuple[str, ...]:
    return (
        f"{'*' if device.default else ' '}{device.index:>3}",
        device.name,
        device.host_api,
        str(device.channels),
        str(device.sample_rate),
        f"{device.low_latency_ms:.0f}-{device.high_latency_ms:.0f}",
    )
