"""Greedy tokens and first-step logits of texts, pictures and recordings.

Prints one line a prompt; a token that differs or a logit that is off by more than the tolerance
counts as a failure.
"""

import json
from pathlib import Path

from mullama_media import (
    EngineParams,
    Model,
    MultimodalProcessor,
    SamplingParams,
    StreamConfig,
    hub,
)
from tests.conformance import upstream

TOLERANCE = 1e-4
TOKENS = 64
TOP = 50
HOLDOUT = upstream.ROOT / "samples" / "tiny_omni" / "holdout"

TEXTS = [
    "Tell me about the sea.",
    "Write a haiku about snow.",
    "What is 17 plus 25?",
    "Translate 'good morning' to French.",
    "Explain photosynthesis to a child.",
    "List three uses of a brick.",
    "Schreibe einen Satz auf Deutsch.",
    "def fibonacci(n):",
    "Why is the sky blue? 🌤️ Answer in one sentence.",
    "A user may write <__media__> or [INST] or an emoji 🎉; what do these mean?",
]


def cases() -> list[list[str | Path]]:
    """Ten texts, five pictures, five recordings."""
    labels = sorted(json.loads((HOLDOUT / "labels.json").read_text()))
    pictures = [HOLDOUT / name for name in labels if name.endswith(".png")][:5]
    recordings = [HOLDOUT / name for name in labels if name.endswith(".wav")][:5]
    assert len(pictures) == 5
    assert len(recordings) == 5
    return [
        *([text] for text in TEXTS),
        *([picture, "What is in the picture?"] for picture in pictures),
        *([recording, "What is said?"] for recording in recordings),
    ]


def listed(model: Model, ids: list[int]) -> bool:
    """Whether llama-server lists the last of these: not if it ends inside a character."""
    return not model.detokenize(ids).endswith("\ufffd")


def main() -> int:
    """How many prompts differ."""
    files = hub.resolve("tiny-omni")
    greedy = SamplingParams(temperature=0, logprobs=TOP)
    failures = 0
    worst = 0.0
    binaries = upstream.build("llama-server", native=False)
    with (
        upstream.serve(binaries, files.model, files.mmproj) as server,
        MultimodalProcessor.load(
            files.model, mmproj=files.mmproj, engine_params=EngineParams(n_parallel=1)
        ) as ours,
    ):
        for parts in cases():
            expected = server.chat(parts, TOKENS, TOP)
            answer = ours.generate(parts, sampling=greedy, config=StreamConfig(max_tokens=TOKENS))
            got = [token for token in answer.tokens if token.id is not None]
            # Upstream reports the end-of-turn token too; ours ends the stream with it.
            want = [token for token, _ in expected if not ours.model.is_end(token)]
            ids = [token.id for token in got]
            same = [n for i, n in enumerate(ids) if listed(ours.model, ids[: i + 1])] == want
            theirs = expected[0][1]
            # Logits against that of the likeliest token: llama-server adds up its softmax in single
            # precision, which moves all log-probabilities of a flat distribution alike.
            best, best_logprob = got[0].top[0]
            off = max(
                abs((logprob - best_logprob) - (theirs[token] - theirs[best]))
                for token, logprob in got[0].top
                if token in theirs
            )
            worst = max(worst, off)
            ok = same and off <= TOLERANCE
            failures += not ok
            what = parts[-1] if len(parts) == 1 else parts[0].name
            verdict = "same tokens" if same else "OTHER TOKENS"
            verdict += "" if off <= TOLERANCE else ", OFF"
            print(f"{verdict} {len(want):3} tokens, {off:.1e}  {what}: {answer.text[:60]!r}")
    print(f"{failures} of {len(cases())} differ; largest difference of a logit {worst:.1e}")
    return failures
