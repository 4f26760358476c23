"""Pictures a second: `mullama caption`, a loop over llama-mtmd-cli, and a busy llama-server."""

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mullama_media import EngineParams, MultimodalProcessor, hub
from mullama_media.caption import Captioner, CaptionParams
from tests.conformance import upstream

ROUNDS = 3
PROMPT = "What is in the picture?"
TOKENS = 24
CLIENTS = 4
LOOPED = 8  # pictures of the loop, which are enough to know its rate


def pictures(folder: Path, count: int) -> list[Path]:
    """Drawn scenes with one or two shapes, all different."""
    sys.path.insert(0, str(upstream.ROOT / "samples" / "tiny_omni"))
    import scenes
    from PIL import Image

    paths = []
    for n in range(count):
        pixels, _ = scenes.draw(np.random.default_rng((7, n)), 1 + n % 2, 224)
        paths.append(folder / f"{n:04}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def ours(model: hub.ModelFiles, paths: list[Path], n_parallel: int) -> tuple[float, str]:
    """Pictures a second, and where the time went. The model is loaded anew: nothing is known."""
    params = EngineParams(n_parallel=n_parallel, n_ctx=512)
    asked = CaptionParams(prompt=PROMPT, max_tokens=TOKENS)
    with MultimodalProcessor.load(
        model.model, mmproj=model.mmproj, engine_params=params
    ) as processor:
        captioner = Captioner(processor, asked)
        began = time.perf_counter()
        done = list(captioner.run(paths))
        seconds = time.perf_counter() - began
        assert not any(caption.error for caption in done)
        perf = processor.engine.perf()
    return len(paths) / seconds, str(perf)


def command(model: hub.ModelFiles, folder: Path) -> float:
    """Pictures a second of the whole command, start and loading included."""
    mullama = Path(sys.executable).parent / "mullama"
    began = time.perf_counter()
    subprocess.run(
        [
            mullama,
            "caption",
            folder,
            "-m",
            model.model,
            "--mmproj",
            model.mmproj,
            "-c",
            "512",
            "--prompt",
            PROMPT,
            "--max-tokens",
            str(TOKENS),
            "--json",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return len(list(folder.iterdir())) / (time.perf_counter() - began)


def loop(binaries: Path, model: hub.ModelFiles, paths: list[Path]) -> float:
    """Pictures a second of one llama-mtmd-cli after the other."""
    began = time.perf_counter()
    for path in paths:
        subprocess.run(
            [
                binaries / "llama-mtmd-cli",
                "-m",
                model.model,
                "--mmproj",
                model.mmproj,
                "--jinja",
                "--image",
                path,
                "-p",
                PROMPT,
                "-n",
                str(TOKENS),
                "--temp",
                "0",
                "-c",
                "512",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return len(paths) / (time.perf_counter() - began)


def clients(server: upstream.Server, paths: list[Path]) -> float:
    """Pictures a second of so many clients who always wait for an answer."""

    def ask(path: Path) -> None:
        content = [upstream._content(path), upstream._content(PROMPT)]
        server.post(
            "/v1/chat/completions",
            {
                "messages": [{"role": "user", "content": content}],
                "max_tokens": TOKENS,
                "temperature": 0,
            },
        )

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, paths))
    return len(paths) / (time.perf_counter() - began)


def main(count: str = "200") -> None:
    binaries = upstream.build("llama-server", "llama-mtmd-cli", native=True)
    model = hub.resolve("tiny-omni")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = pictures(folder, int(count))
        print(f"llama-mtmd-cli, one after the other: {loop(binaries, model, paths[:LOOPED]):.2f}/s")
        print(f"mullama caption, the whole command: {command(model, folder):.2f}/s", flush=True)
        for n in (1, 2, 4, 8, 16):
            rate, perf = ours(model, paths, n)
            print(f"Captioner with {n} sequences: {rate:.2f}/s\n  {perf}", flush=True)
        pairs = []
        for _ in range(ROUNDS):  # each time a server that knows no picture
            with upstream.serve(
                binaries, model.model, model.mmproj, n_ctx=512 * CLIENTS, n_parallel=CLIENTS
            ) as server:
                theirs = clients(server, paths)
            pairs.append((ours(model, paths, 8)[0], theirs))
        ratio = statistics.median(us / them for us, them in pairs)
        print(
            f"8 sequences: {statistics.median(us for us, _ in pairs):.2f}/s, llama-server with "
            f"{CLIENTS} clients: {statistics.median(them for _, them in pairs):.2f}/s, "
            f"median ratio {ratio:.2f}"
        )
