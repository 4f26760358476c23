"""A sound card that is not there: a private PulseAudio whose null sink is recorded."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import soundfile

from mullama_media.errors import AudioDeviceError
from mullama_media.io.portaudio import portaudio

RATE = 16000


class PulseServer:
    """A PulseAudio daemon of our own, with one sink; its monitor is the default microphone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "native"
        self.environment = {
            "PULSE_SERVER": f"unix:{self.socket}",
            "PULSE_SOURCE": "mic.monitor",
            "PULSE_SINK": "mic",
        }
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        home = {"XDG_RUNTIME_DIR": str(self.folder), "HOME": str(self.folder)}
        self.socket.unlink(missing_ok=True)
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no"]
        command += ["--exit-idle-time=-1", f"--log-target=file:{self.folder}/log"]
        command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={self.socket}"]
        # Without norewinds half the recordings miss what was played.
        sink = f"sink_name=mic rate={RATE} channels=1 format=s16le norewinds=1"
        command += ["-L", f"module-null-sink {sink}"]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **home},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(200):
            if self._pactl("info").returncode == 0:
                return
            assert self._process.poll() is None, (self.folder / "log").read_text("utf-8")
            time.sleep(0.05)
        raise AssertionError("PulseAudio did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def play(self, samples: np.ndarray) -> subprocess.Popen:
        """Play int16 samples into the sink, in the background."""
        path = self.folder / "play.wav"
        soundfile.write(path, samples, RATE, subtype="PCM_16")
        return subprocess.Popen(
            ["paplay", "--device=mic", str(path)], env={**os.environ, **self.environment}
        )

    def add_sink(self, name: str) -> None:
        """Another sound card."""
        options = f"sink_name={name} rate={RATE} channels=1 format=s16le norewinds=1"
        assert self._pactl("load-module", "module-null-sink", *options.split()).returncode == 0

    def record(self, sink: str, path: Path) -> subprocess.Popen:
        """Record what a sink plays, as raw int16, until the process is ended."""
        with path.open("wb") as file:
            return subprocess.Popen(
                ["parec", f"--device={sink}.monitor", f"--rate={RATE}", "--channels=1"],
                env={**os.environ, **self.environment},
                stdout=file,
            )

    def _pactl(self, *args: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["pactl", *args], env={**os.environ, **self.environment}, capture_output=True
        )


def missing() -> str:
    """Why there can be no such server here; empty if there can."""
    programs = [name for name in ("pulseaudio", "pactl", "paplay") if not shutil.which(name)]
    if programs:
        return f"{', '.join(programs)} not installed, and scripts/apt.sh could not install it"
    try:
        portaudio()
    except AudioDeviceError as error:
        return str(error)
    return ""
