"""A second question about the same picture or recording: encoder time and time to first token."""

from mullama_media import EngineParams, MultimodalProcessor, SamplingParams, StreamConfig
from tests.conformance.upstream import ROOT

GREEDY = SamplingParams(temperature=0)
CONFIG = StreamConfig(max_tokens=8)


def main() -> None:
    with MultimodalProcessor.load("tiny-omni", engine_params=EngineParams(n_parallel=2)) as ours:
        for name in ("shapes.png", "seven.wav"):
            for question in ("What is it?", "Say it again."):
                done = ours.generate(
                    [ROOT / "samples" / name, question], sampling=GREEDY, config=CONFIG
                )
                timings = done.timings
                print(
                    f"{name} {question!r}: encoder {timings.encode_ms:.0f} ms, "
                    f"first token {timings.first_token_ms:.0f} ms, "
                    f"{timings.reused_tokens} of {timings.prompt_tokens} tokens reused"
                )
