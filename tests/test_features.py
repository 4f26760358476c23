"""docs/features.md is true: its tests exist, its states are known, no row is forgotten."""

import re

import pytest

from tests.conftest import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "features.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| feature")
]
# The matrix this project set out from, as far as the engine goes.
SEED = """
Model loading (GGUF); Tokenization; Text generation; Context management; KV cache operations;
Session persistence; Batch processing; Memory management; Model metadata access;
Automatic batch chunking; Token-by-token callbacks; Channel-based streaming;
Backpressure handling; Stream cancellation; SSE (Server-Sent Events); WebSocket streaming;
Streaming configuration; Tokio runtime integration; Async model operations; Async generation;
Async streaming; Task cancellation; Temperature; Top-K; Top-P (Nucleus); Min-P; Typical-P;
Mirostat v1; Mirostat v2; Tail-Free Sampling; Frequency penalty; Presence penalty; Repeat penalty;
Logit bias; Dry sampling; Sampler chains; Custom stopping criteria; LoRA adapter loading;
Multiple LoRA adapters; Dynamic LoRA scale; LoRA metadata access; Control vectors (basic);
Control vectors (API); Control vector loading; JSON mode; GBNF grammar parsing;
Grammar-constrained sampling; Simple pattern grammars; Complex grammar validation;
Grammar composition; Dynamic grammar modification; Parallel processing (Rayon);
SIMD optimizations; Flash Attention; Memory-mapped I/O; Multi-GPU layer splitting;
Performance timing; Speculative decoding; Runtime quantization; Distributed inference
"""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_shows_it(row):
    feature, state, test, notes = row
    assert state in ("works", "partial", "not yet")
    assert notes or state == "works" or not test, f"{feature}: say why it is {state}"
    if state == "not yet":
        return
    path, name = test.split("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.M)


def test_no_row_of_the_seed_is_forgotten():
    named = {row[0] for row in ROWS}
    assert [name for name in re.split(r";\s*", " ".join(SEED.split())) if name not in named] == []
