"""What this build is and what it found on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from mullama_media.engine.native import core

__all__ = ["Device", "SystemInfo", "system_info"]


@dataclass(frozen=True, slots=True)
class Device:
    """A device that can hold layers."""

    name: str
    description: str
    kind: str
    """cpu, gpu, igpu or accel"""
    backend: str
    memory_free: int
    """Bytes"""
    memory_total: int
    """Bytes"""


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """What `mullama info` prints."""

    version: str
    llama_cpp_pin: str
    """Upstream commit"""
    llama_cpp_version: str
    backends: tuple[str, ...]
    devices: tuple[Device, ...]
    cpu_features: tuple[str, ...]
    """Instruction sets the loaded CPU kernels use"""
    threads: int
    """CPU threads used when none are asked for"""


def system_info() -> SystemInfo:
    """Look at the loaded backends. Thread-safe."""
    native = core()
    devices = tuple(
        Device(d.name, d.description, d.kind, d.backend, d.memory_free, d.memory_total)
        for d in native.devices()
    )
    return SystemInfo(
        version=native.VERSION,
        llama_cpp_pin=native.LLAMA_CPP_PIN,
        llama_cpp_version=native.LLAMA_CPP_VERSION,
        backends=tuple(dict.fromkeys(d.backend for d in devices)),
        devices=devices,
        cpu_features=tuple(native.cpu_features()),
        threads=native.default_threads(),
    )
