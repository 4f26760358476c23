"""Build upstream's own llama-server from the pin, run it, and ask it."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mullama_media.engine import system_info

ROOT = Path(__file__).parent.parent.parent


# Instruction sets as `system_info` names them, where ggml has an option for each.
CPU_OPTIONS = ["AVX", "AVX2", "F16C", "FMA", "BMI2", "AVX_VNNI", "AVX512", "AVX512_VBMI"]
CPU_OPTIONS += ["AVX512_VNNI", "AVX512_BF16"]


def build(*targets: str, native: bool) -> Path:
    """Folder of upstream's binaries, built under build/ if they are not there (3 to 8 minutes).

    `native` builds for this machine, the fastest there is; otherwise for the same instruction sets
    as the CPU variant that this package chose, so that results can be compared to the last bit.
    `MULLAMA_UPSTREAM_BIN` names a folder that has them already.
    """
    if ready := os.environ.get("MULLAMA_UPSTREAM_BIN"):
        return Path(ready)
    folder = ROOT / "build" / ("upstream-native" if native else "upstream")
    if not all((folder / "bin" / target).exists() for target in targets):
        source = subprocess.run(
            [sys.executable, ROOT / "llama.cpp" / "fetch.py"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        print(f"building upstream {', '.join(targets)} in {folder} ...", file=sys.stderr)
        options = ["-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"]
        if not native:
            features = system_info().cpu_features
            options += [f"-DGGML_{name}={int(name in features)}" for name in CPU_OPTIONS]
            options.append("-DGGML_NATIVE=OFF")
        if shutil.which("ccache"):
            options += [f"-DCMAKE_{lang}_COMPILER_LAUNCHER=ccache" for lang in ("C", "CXX")]
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        configure = ["cmake", "-S", source, "-B", folder, "-DCMAKE_BUILD_TYPE=Release"]
        subprocess.run([*configure, *generator, *options], check=True, stdout=subprocess.DEVNULL)
        jobs = str(os.cpu_count() or 2)
        subprocess.run(
            ["cmake", "--build", folder, "--parallel", jobs, "--target", *targets], check=True
        )
    return folder / "bin"


class Server:
    """A running llama-server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as response:
            return json.load(response)

    def chat(
        self, parts: list[str | Path], max_tokens: int, top: int
    ) -> list[tuple[int, dict[int, float]]]:
        """Greedy answer to one user message: tokens, each with its likeliest alternatives."""
        reply = self.post(
            "/v1/chat/completions",
            {
                "messages": [{"role": "user", "content": [_content(part) for part in parts]}],
                "max_tokens": max_tokens,
                "temperature": 0,
                "logprobs": True,
                "top_logprobs": top,
                "cache_prompt": False,
            },
        )
        tokens = reply["choices"][0]["logprobs"]["content"]
        return [(t["id"], {a["id"]: a["logprob"] for a in t["top_logprobs"]}) for t in tokens]


def _content(part: str | Path) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(part.read_bytes()).decode()
    if part.suffix in (".wav", ".mp3"):
        return {"type": "input_audio", "input_audio": {"data": data, "format": part.suffix[1:]}}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


@contextmanager
def serve(
    binaries: Path,
    model: Path,
    mmproj: Path | None,
    *,
    n_ctx: int = 4096,
    n_parallel: int = 1,
    options: Sequence[str | Path] = (),
) -> Iterator[Server]:
    """Run llama-server on a free port of this machine until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binaries / "llama-server", "-m", model, "--port", str(port)]
    command += ["-np", str(n_parallel), "-c", str(n_ctx), "--jinja", *options]
    if mmproj:
        command += ["--mmproj", mmproj]
    log = ROOT / "build" / "upstream-server.log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            server = Server(f"http://127.0.0.1:{port}")
            for _ in range(600):
                if process.poll() is not None:
                    raise SystemExit(f"llama-server stopped:\n{log.read_text()[-2000:]}")
                try:
                    with urllib.request.urlopen(server.url + "/health", timeout=5):
                        break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.1)
            yield server
        finally:
            process.terminate()
