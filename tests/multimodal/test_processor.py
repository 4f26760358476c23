"""The main job: pictures, recordings and text in, text out."""

import asyncio
import json
import time

import numpy as np
import PIL.Image
import pytest
import soundfile

from mullama_media import (
    AudioFrame,
    Completion,
    EngineParams,
    Image,
    Message,
    MultimodalProcessor,
    StreamConfig,
)
from mullama_media.errors import (
    EngineClosedError,
    MediaError,
    ModelCapabilityError,
    ModelLoadError,
    ModelNameError,
)
from tests.conftest import GREEDY, SAMPLES

EXPECTED = json.loads((SAMPLES / "expected.json").read_text())
CASES = [(names, q, a) for names, asks in EXPECTED.items() for q, a in asks.items()]
HOLDOUT = SAMPLES / "tiny_omni" / "holdout"
SHAPES = SAMPLES / "shapes.png"
SEVEN = SAMPLES / "seven.wav"


def answer(processor, content, **options):
    return processor.generate(content, sampling=GREEDY, **options).text.strip()


@pytest.mark.parametrize(("names", "question", "expected"), CASES)
def test_the_samples_are_understood(processor, names, question, expected):
    media = [SAMPLES / name for name in names.split("+")]
    assert answer(processor, [*media, question]) == expected


def test_held_out_media_are_understood_and_swapped_ones_are_not(processor):
    labels = json.loads((HOLDOUT / "labels.json").read_text())
    names = list(labels)
    asked = {".png": "What is in the picture?", ".wav": "What is said?"}
    contents = [[HOLDOUT / name, asked[name[-4:]]] for name in names]
    said = [got.text.strip() for got in processor.generate_batch(contents, sampling=GREEDY)]
    right = [got == labels[name] for got, name in zip(said, names, strict=True)]
    swapped = [got == labels[name] for got, name in zip(said[1:] + said[:1], names, strict=True)]
    assert sum(right) >= len(names) - 1, dict(zip(names, said, strict=True))
    assert sum(swapped) <= 2


def test_every_form_of_a_picture_gives_the_same_answer(processor):
    question = "What is in the picture?"
    expected = EXPECTED["shapes.png"][question]
    pil = PIL.Image.open(SHAPES)
    array = np.asarray(pil.convert("RGB"))
    for form in (SHAPES, SHAPES.read_bytes(), pil, array, Image(array)):
        assert answer(processor, [form, question]) == expected


def test_every_form_of_a_recording_gives_the_same_answer(processor):
    question, expected = next(iter(EXPECTED["seven.wav"].items()))
    samples, rate = soundfile.read(SEVEN, dtype="float32")
    ints, _ = soundfile.read(SEVEN, dtype="int16")
    stereo = np.stack([samples, samples], 1)
    for form in (
        SEVEN,
        SEVEN.read_bytes(),
        AudioFrame(samples, rate),
        (samples, rate),
        (ints, rate),
        (stereo, rate),
    ):
        assert answer(processor, [form, question]) == expected


def test_a_recording_of_another_rate_is_resampled(processor, tmp_path):
    import soxr

    question, expected = next(iter(EXPECTED["seven.wav"].items()))
    samples, rate = soundfile.read(SEVEN, dtype="float32")
    soundfile.write(tmp_path / "hi.flac", soxr.resample(samples, rate, 44100), 44100)
    assert answer(processor, [tmp_path / "hi.flac", question]) == expected


def test_a_long_recording_becomes_windows_of_28_seconds(processor):
    noise = 0.01 * np.random.default_rng(0).standard_normal(16000 * 60).astype(np.float32)
    prompt = processor.prepare([(noise, 16000), "What is said?"])
    assert sum(kind == "audio" for kind, _ in prompt.chunks) == 3
    exact = processor.prepare([(noise[: 16000 * 30], 16000), "What is said?"])
    assert sum(kind == "audio" for kind, _ in exact.chunks) == 2


def test_a_conversation_with_media_and_a_system_message(processor):
    content = [
        Message("user", [SHAPES, "What is in the picture?"]),
        Message("assistant", ["Two coloured shapes."]),
        Message("user", [SEVEN, "What is said?"]),
    ]
    prompt = processor.prepare(content, system="You are a careful observer.")
    kinds = [kind for kind, _ in prompt.chunks if kind != "text"]
    assert kinds == ["image", "audio"]
    assert processor.generate(content, sampling=GREEDY).finish_reason == "stop"


def test_a_text_alone_is_a_user_message(processor):
    assert processor.prepare("Hi").chunks == processor.prepare(["Hi"]).chunks
    assert processor.prepare("Hi").chunks == processor.prepare([Message("user", ["Hi"])]).chunks
    assert processor.prepare("Hi", raw=True).chunks == [("text", processor.model.tokenize("Hi"))]


def test_a_batch_answers_in_order_and_a_broken_item_fails_alone(processor, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(SHAPES.read_bytes()[:200])
    picture_q = "What is in the picture?"
    picture_a = EXPECTED["shapes.png"][picture_q]
    sound_q, sound_a = next(iter(EXPECTED["seven.wav"].items()))
    contents = [
        [SHAPES, picture_q],
        [broken, picture_q],
        [SEVEN, sound_q],
        [tmp_path / "missing.wav", sound_q],
    ] * 4
    answers = processor.generate_batch(contents, sampling=GREEDY)
    assert len(answers) == 16
    for n, got in enumerate(answers):
        if n % 4 in (0, 2):
            assert isinstance(got, Completion)
            assert got.text.strip() == (picture_a, None, sound_a)[n % 4]
        else:
            assert isinstance(got, MediaError)
            assert str(tmp_path) in str(got)


def test_a_batch_of_long_answers_keeps_all_sequences_busy(processor):
    config = StreamConfig(max_tokens=80, buffer_tokens=1)
    contents = [f"Tell me a story about the number {n}." for n in range(4)]
    started = time.perf_counter()
    answers = processor.generate_batch(contents, sampling=GREEDY, config=config)
    wall_ms = 1000 * (time.perf_counter() - started)
    assert sum(a.timings.decode_ms for a in answers) > 1.5 * wall_ms  # they overlapped


def test_async_streams_do_not_block_the_loop(processor):
    async def run():
        longest = 0.0

        async def tick():
            nonlocal longest
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                longest = max(longest, time.perf_counter() - before)

        ticking = asyncio.create_task(tick())
        big = PIL.Image.open(SHAPES).resize((3000, 3000))
        text = ""
        async for token in processor.stream([big, "What is in the picture?"], sampling=GREEDY):
            text += token.text
        ticking.cancel()
        return text, longest

    text, longest = asyncio.run(run())
    assert text
    assert longest < 0.25


@pytest.mark.parametrize("item", [3, None, {"image": 1}, (1, 2, 3), object()])
def test_content_of_no_known_kind_is_refused(processor, item):
    with pytest.raises(MediaError, match="a prompt cannot hold"):
        processor.prepare([item, "What?"])


def test_what_the_model_cannot_take_is_refused(model, engine):
    from mullama_media import Engine

    with Engine(model, EngineParams(n_ctx=256, n_parallel=1)) as bare:
        blind = MultimodalProcessor(bare)
        with pytest.raises(ModelCapabilityError, match="takes no pictures"):
            blind.generate([SHAPES, "What?"])
        with pytest.raises(ModelCapabilityError, match="an audio encoder"):
            blind.generate([SEVEN, "What?"])


def test_load_and_close(tiny_files):
    processor = MultimodalProcessor.load(
        tiny_files.model,
        mmproj=tiny_files.mmproj,
        engine_params=EngineParams(n_ctx=512, n_parallel=1),
    )
    with processor:
        assert processor.media is not None
    with pytest.raises(EngineClosedError):
        processor.generate("Hi")
    with pytest.raises(ModelLoadError):
        MultimodalProcessor.load("/nowhere/model.gguf")
    with pytest.raises(ModelNameError):
        MultimodalProcessor.load("tiny-omini")

    async def run():
        options = {
            "mmproj": tiny_files.mmproj,
            "engine_params": EngineParams(n_ctx=512, n_parallel=1),
        }
        async with await MultimodalProcessor.load_async(tiny_files.model, **options) as processor:
            return (await processor.stream("Hi", config=StreamConfig(max_tokens=3))).text

    assert asyncio.run(run())
