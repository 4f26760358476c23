"""`ask`, `caption`, and batches that try again."""

import json

import pytest

from mullama_media import (
    CaptionParams,
    Completion,
    EngineParams,
    MediaParams,
    MultimodalProcessor,
    SamplingParams,
    StreamConfig,
)
from mullama_media.errors import (
    AnswerFormatError,
    DeadlineError,
    DecodeError,
    GrammarError,
    MediaError,
    OverloadedError,
)
from mullama_media.multimodal.batch import persist
from tests import tiny
from tests.conftest import GREEDY, SAMPLES

SHAPES = SAMPLES / "shapes.png"
SEVEN = SAMPLES / "seven.wav"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text())
QUESTION = "What is in the picture?"


def test_ask_puts_media_before_the_question(processor):
    asked = processor.ask(QUESTION, SHAPES, sampling=GREEDY)
    assert asked.text.strip() == EXPECTED["shapes.png"][QUESTION]
    again = processor.ask("Which colours are there?", SHAPES, sampling=GREEDY)
    assert again.timings.encode_ms == 0


def test_a_caption_is_a_text_or_a_value(processor):
    params = CaptionParams(prompt=QUESTION)
    assert processor.caption(SHAPES, params).text.strip() == EXPECTED["shapes.png"][QUESTION]
    schema = {
        "type": "object",
        "properties": {
            "caption": {"type": "string", "maxLength": 60},
            "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 2},
        },
        "required": ["caption", "tags"],
    }
    value = processor.caption(SHAPES, CaptionParams(schema=json.dumps(schema))).json()
    assert set(value) == {"caption", "tags"}
    assert set(value["tags"]) <= {"red", "blue"}


def test_a_caption_that_cannot_be_is_an_error(processor, tmp_path):
    with pytest.raises(MediaError, match="No such file"):
        processor.caption(tmp_path / "no.png")
    with pytest.raises(GrammarError):
        processor.caption(SHAPES, CaptionParams(schema='{"type": "wish"}'))
    with pytest.raises(AnswerFormatError, match="not JSON"):
        processor.caption(SHAPES, CaptionParams(schema='{"type": "object"}', max_tokens=1))
    with pytest.raises(DeadlineError, match=r"more than 0\.001 s"):
        processor.caption(SHAPES, CaptionParams(timeout_s=0.001))


@pytest.mark.parametrize("error", [DecodeError("the backend failed"), OverloadedError("too many")])
def test_what_the_engine_failed_is_tried_again(error):
    tried = []

    def attempt():
        tried.append(1)
        if len(tried) < 3:
            raise error
        return "done"

    assert persist(attempt, 2) == "done"
    tried.clear()
    with pytest.raises(type(error)):
        persist(attempt, 1)
    assert len(tried) == 2


def test_what_would_fail_again_is_not_tried_again():
    tried = []

    def attempt():
        tried.append(1)
        raise MediaError("broken")

    with pytest.raises(MediaError):
        persist(attempt, 5)
    assert len(tried) == 1


def test_a_batch_beside_others_waits_for_room_when_told_to(tmp_path):
    model = tiny.write_model(tmp_path / "model.gguf")
    params = EngineParams(n_ctx=128, n_parallel=1, max_queue=1)
    config = StreamConfig(max_tokens=8, ignore_eos=True)
    with MultimodalProcessor.load(model, engine_params=params) as processor:
        contents = [f"Say {n}" for n in range(8)]
        answers = processor.generate_batch(contents, retries=8, config=config, raw=True)
        assert all(isinstance(answer, Completion) for answer in answers)


def test_flash_attention_of_the_encoders_is_an_option_of_its_own(tiny_files):
    """Off keeps keys and values in 32 bits: nearly the same, and not quite."""
    told = {}
    for name in ("auto", "on", "off"):
        with MultimodalProcessor.load(
            tiny_files.model,
            mmproj=tiny_files.mmproj,
            media_params=MediaParams(flash_attention=name),
            engine_params=EngineParams(n_ctx=512, n_parallel=1),
        ) as processor:
            sampling = SamplingParams(temperature=0, logprobs=1)
            said = processor.ask(QUESTION, SHAPES, sampling=sampling).tokens
            told[name] = [token.logprob for token in said]
    assert told["auto"] == told["on"]
    assert told["off"] != told["on"]
    assert max(abs(a - b) for a, b in zip(told["on"], told["off"], strict=True)) < 0.05
