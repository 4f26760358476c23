"""Memory of `mullama caption` while many pictures go by: many [COUNT [OPTION OF THE COMMAND]...].

Every picture is another; the model is made, tiny and quick, so that what grows is the command's.
With `--ray local --workers 2` the memory is that of the driver.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests import tiny

MARKS = (100, 1000, 5000)


def pictures(folder: Path, count: int) -> None:
    """Noise with one pixel of its own in each."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    for n in range(count):
        pixels[0, 0] = n % 256, n // 256 % 256, n // 65536
        Image.fromarray(pixels).save(folder / f"{n:07}.png", compress_level=1)


def main(number: str = "10000", *options: str) -> None:
    count = int(number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures(folder / "in", count)
        model = tiny.write_model(folder / "model.gguf")
        mmproj = tiny.write_mmproj(folder / "mmproj.gguf")
        command = [Path(sys.executable).parent / "mullama", "caption", "in", "-o", "t.csv"]
        command += ["-m", model, "--mmproj", mmproj, "-c", "256", "--max-tokens", "4", *options]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder)
        journal, done = folder / "t.csv.journal", 0
        marks = [mark for mark in (*MARKS, count) if mark <= count]
        with journal.open("rb") if _there(journal, process) else sys.exit("it ended") as lines:
            while marks:
                ended = process.poll() is not None
                done += lines.read().count(b"\n")
                while marks and done >= marks[0] and not ended:
                    seconds = time.perf_counter() - began
                    mark = marks.pop(0)
                    print(f"{mark} pictures: {rss_kb(process.pid)} kB, {seconds:.1f} s", flush=True)
                if ended:
                    break
                time.sleep(0.01)
        print(f"exit status {process.wait()}, {time.perf_counter() - began:.1f} s")


def rss_kb(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _there(journal: Path, process: subprocess.Popen) -> bool:
    while not journal.exists() and process.poll() is None:
        time.sleep(0.01)
    return journal.exists()
