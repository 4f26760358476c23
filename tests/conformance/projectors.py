"""The same greedy tokens as llama-mtmd-cli over the projector families, alone and together.

Every family of `tests.families` is asked about pictures of several forms, several pictures,
recordings, and both in one prompt. Upstream's tokens are also those of `tests/families.json`, which
the ordinary tests hold ours to; `python -m tests.conformance.projectors --record` writes it anew.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from mullama_media import EngineParams, MultimodalProcessor, SamplingParams, StreamConfig
from mullama_media.engine.stream import TokenData
from tests import families
from tests.conformance import upstream

MARKER = "<__media__>"
GREEDY = SamplingParams(temperature=0, logprobs=2)
CONFIG = StreamConfig(max_tokens=families.TOKENS)
EXACT = EngineParams(
    n_ctx=2048, n_parallel=1, cache_type_k="f32", cache_type_v="f32", flash_attention="off"
)
TIE = 0.03
"""Recorded answers must be clearer than this: encoders round to 16 bits, and elsewhere otherwise"""


def ask(program: Path, files: tuple[Path, Path], parts: list[str | Path]) -> bytes:
    """What llama-mtmd-cli answers.

    A thread of its own writes it, which the end of the program may overtake: an answer that is
    not whole is asked for again.
    """
    model, mmproj = files
    command = [program, "-m", model, "--mmproj", mmproj, "--temp", "0", "-n", families.TOKENS]
    command += ["-c", EXACT.n_ctx, "-ctk", "f32", "-ctv", "f32", "-fa", "off"]
    for part in parts:
        if isinstance(part, Path):
            command += ["--audio" if part.suffix == ".wav" else "--image", part]
    prompt = "".join(MARKER if isinstance(part, Path) else part for part in parts)
    for _ in range(20):
        answer = subprocess.run(
            [*map(str, command), "-p", prompt], capture_output=True, check=True
        ).stdout
        if len(answer) == families.TOKENS + 3 and answer.endswith(b"\n\n"):
            return answer[1:-2]
    raise SystemExit(f"llama-mtmd-cli says {answer!r}")


def margin(tokens: list[TokenData]) -> float:
    """By how much the closest of the choices was made."""
    return min(token.top[0][1] - token.top[1][1] for token in tokens)


def compare(
    name: str, files: tuple[Path, Path], prompts: dict, expected: dict
) -> tuple[int, float]:
    """How many of our answers differ, and the closest choice."""
    failures, closest = 0, float("inf")
    for n_parallel, rounds in ((1, 1), (4, 2)):
        params = EXACT.with_n_parallel(n_parallel)
        model, mmproj = files
        with MultimodalProcessor.load(model, mmproj=mmproj, engine_params=params) as ours:
            for _ in range(rounds):
                asked = {
                    case: ours.stream(parts, sampling=GREEDY, config=CONFIG)
                    for case, parts in prompts.items()
                }
                for case, stream in asked.items():
                    got = [token for token in stream.result().tokens if token.id is not None]
                    closest = min(closest, margin(got))
                    if [token.id for token in got] != expected[case]:
                        failures += 1
                        print(f"  {name}, {case}, {n_parallel} sequences: OTHER TOKENS")
    return failures, closest


def main(record: bool = False) -> int:
    """How many answers differ."""
    program = upstream.build("llama-mtmd-cli", native=False) / "llama-mtmd-cli"
    golden = {} if record else json.loads(families.GOLDEN.read_text())
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        media = families.draw_media(Path(folder))
        for name, family in families.FAMILIES.items():
            files = families.write(Path(folder), name)
            prompts = families.cases(name, media)
            expected = {
                case: families.ids_of(family, ask(program, files, parts))
                for case, parts in prompts.items()
            }
            differ, closest = compare(name, files, prompts, expected)
            failures += differ
            if record:
                golden[name] = expected
                failures += closest < TIE
            elif golden[name] != expected:
                failures += 1
                print(f"  {name}: {families.GOLDEN.name} holds other tokens than upstream gives")
            print(
                f"{name}: {len(prompts)} prompts, {differ} answers differ; "
                f"closest choice {closest:.2g}",
                flush=True,
            )
    if record and failures == 0:
        lines = [
            f"{json.dumps(name)}: {{\n"
            + ",\n".join(f"  {json.dumps(c)}: {json.dumps(ids)}" for c, ids in answers.items())
            + "\n}"
            for name, answers in golden.items()
        ]
        families.GOLDEN.write_text("{" + ",\n".join(lines) + "}\n")
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(record="--record" in sys.argv) else 0)
