"""A conversation remembers, and evaluates nothing twice."""

import asyncio
import contextlib
import itertools
import json
import time

import numpy as np
import pytest

from mullama_media import AudioFrame, EngineParams, Message, MultimodalProcessor, StreamConfig
from mullama_media.audio import files
from mullama_media.errors import (
    ContextOverflowError,
    InvalidOptionError,
    MediaError,
    OverloadedError,
    SessionError,
)
from tests.conftest import GREEDY, SAMPLES

SHAPES = SAMPLES / "shapes.png"
SEVEN = SAMPLES / "seven.wav"
EXPECTED = json.loads((SAMPLES / "expected.json").read_text())
PICTURE_Q = "What is in the picture?"
SHORT = StreamConfig(max_tokens=16)


@pytest.fixture
def talk(processor):
    return processor.conversation(sampling=GREEDY, config=SHORT)


def test_a_second_question_knows_the_first_and_evaluates_only_itself(processor, talk):
    first = talk.ask([SHAPES, PICTURE_Q]).result()
    assert first.text.strip() == EXPECTED["shapes.png"][PICTURE_Q]
    second = talk.ask("And now?").result()
    assert second.timings.encode_ms == 0
    assert second.timings.reused_tokens > first.timings.prompt_tokens - 8
    history = [
        Message("user", [SHAPES, PICTURE_Q]),
        Message("assistant", [first.text]),
        Message("user", ["And now?"]),
    ]
    assert second.timings.prompt_tokens == processor.prepare(history).n_tokens
    assert second.text == processor.generate(history, sampling=GREEDY, config=SHORT).text
    roles = [message.role for message in talk.messages]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert talk.messages[-1].parts == [second.text]


def test_media_are_decoded_once(talk, tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_bytes(SHAPES.read_bytes())
    talk.ask([picture, PICTURE_Q]).result()
    picture.unlink()
    assert talk.ask("And now?").result().text


def test_one_question_at_a_time(talk):
    stream = talk.ask("Tell me a story.")
    next(iter(stream))
    with pytest.raises(SessionError, match="still being read"):
        talk.ask("And now?")
    with pytest.raises(SessionError, match="still being read"):
        talk.add(Message("user", ["And?"]))
    assert talk.messages == ()
    stream.result()
    assert len(talk.messages) == 2


def test_what_was_heard_of_a_cancelled_answer_counts_as_said(talk):
    stream = talk.ask("Tell me a story.")
    heard = next(iter(stream)).text + next(iter(stream)).text
    stream.cancel()
    assert talk.messages[1].parts == [heard]
    assert talk.ask("Go on.").result().text


def test_only_what_was_heard_counts_as_said(talk):
    talk.ask("Hello").result()
    talk.heard("Hi th")
    assert talk.messages[-1].parts == ["Hi th"]
    talk.ask("Tell me a story.").cancel()  # nobody read any of it
    talk.heard("")
    assert [message.parts for message in talk.messages] == [["Hello"], ["Hi th"]]
    stream = talk.ask("Tell me a story.")
    next(iter(stream))
    stream.cancel()
    talk.heard("")  # it was read, but not heard
    assert len(talk.messages) == 2
    talk.heard("twice")
    assert talk.messages[-1].parts == ["Hi th"]


def test_a_question_that_failed_or_was_never_heard_leaves_no_trace(talk, tmp_path):
    with pytest.raises(MediaError):
        talk.ask([tmp_path / "missing.png", PICTURE_Q])
    with pytest.raises(ContextOverflowError):
        talk.ask("a b c d " * 2000)
    assert talk.messages == ()
    talk.ask("Hello").cancel()
    assert talk.messages == ()

    async def later():
        with pytest.raises(MediaError):
            await talk.ask([tmp_path / "missing.png", PICTURE_Q])
        return await talk.ask("Hello")

    assert asyncio.run(later()).text
    assert len(talk.messages) == 2


def test_undo_and_clear(talk):
    talk.add(Message("user", ["Hi"]), Message("assistant", ["Hello."]))
    talk.ask("What is a cat?").result()
    talk.undo()
    assert [message.parts for message in talk.messages] == [["Hi"], ["Hello."]]
    stream = talk.ask("What is a dog?")
    talk.undo()
    assert stream.result().finish_reason == "cancelled"
    assert len(talk.messages) == 2
    talk.clear()
    assert talk.messages == ()


def test_options_of_a_question_go_over_those_of_the_conversation(processor):
    talk = processor.conversation(system="Be brief.", sampling=GREEDY, config=SHORT)
    once = talk.ask("Hello", config=StreamConfig(max_tokens=2)).result()
    assert once.timings.generated_tokens == 2
    assert once.timings.prompt_tokens == processor.prepare("Hello", system="Be brief.").n_tokens


def test_added_messages_can_be_answered_as_they_stand(processor, talk):
    talk.add(Message("user", [SEVEN, "What is said?"]))
    said = talk.ask().result()
    assert said.text.strip() == EXPECTED["seven.wav"]["What is said?"]


def test_a_full_context_is_an_error_or_forgets_the_oldest(model):
    from mullama_media import Engine

    with Engine(model, EngineParams(n_ctx=256, n_parallel=1)) as engine:
        processor = MultimodalProcessor(engine)
        options = {"sampling": GREEDY, "config": StreamConfig(max_tokens=12)}
        strict = processor.conversation(**options)
        with pytest.raises(ContextOverflowError):
            _count(strict)
        talk = processor.conversation(when_full="forget", **options)
        rows = _count(talk)
        assert max(rows) <= 256 - 12
        assert rows[5] > rows[4]  # nothing is forgotten while there is room
        assert any(after < before for before, after in itertools.pairwise(rows))
        assert talk.messages[0].parts != ["Tell me about the number 0."]
        assert talk.messages[-2].parts == ["Tell me about the number 19."]
        with pytest.raises(InvalidOptionError, match="when_full"):
            processor.conversation(when_full="panic")


def _count(talk):
    """Rows of each prompt."""
    asked = (talk.ask(f"Tell me about the number {n}.").result() for n in range(20))
    return [completion.timings.prompt_tokens for completion in asked]


def test_conversations_of_one_engine_run_at_once(processor):
    talks = [processor.conversation(sampling=GREEDY, config=SHORT) for _ in range(3)]

    async def run():
        async def two(talk, n):
            await talk.ask(f"The number {n}.")
            return (await talk.ask("And now?")).text

        return await asyncio.gather(*(two(talk, n) for n, talk in enumerate(talks)))

    assert all(asyncio.run(run()))
    assert all(len(talk.messages) == 4 for talk in talks)


@pytest.fixture(scope="module")
def alone(model, media):
    """A processor that nobody else asks."""
    from mullama_media import Engine

    with Engine(model, EngineParams(n_ctx=1024, n_parallel=2), media=media) as engine:
        yield MultimodalProcessor(engine)


def test_what_was_prefilled_is_not_evaluated_again(alone):
    seven, command = (files.read(SAMPLES / name) for name in ("seven.wav", "command.wav"))
    with contextlib.closing(
        alone.conversation(reserve=True, sampling=GREEDY, config=SHORT)
    ) as talk:
        first = talk.prefill([seven]).result()
        assert first.tokens == ()
        assert first.timings.encode_ms > 0
        second = talk.prefill([seven, command]).result()
        assert second.timings.reused_tokens > 50  # the first recording is there
        asked = talk.ask([seven, command]).result()
        assert asked.timings.encode_ms == 0
        assert asked.timings.reused_tokens == asked.timings.prompt_tokens - 1
        plain = alone.generate([seven, command], sampling=GREEDY, config=SHORT)
        assert asked.text == plain.text
        assert len(talk.messages) == 2


def test_a_question_waits_for_its_own_prefill(alone):
    """Which nobody holds or reads."""
    seven = files.read(SAMPLES / "seven.wav")
    noise = np.random.default_rng(3).standard_normal(seven.samples.size).astype(np.float32) / 50
    fresh = AudioFrame(seven.samples + noise, seven.sample_rate)
    options = {"sampling": GREEDY, "config": SHORT}
    with contextlib.closing(alone.conversation(reserve=True, **options)) as talk:
        talk.prefill([fresh, "What is said?"])
        asked = talk.ask([fresh, "What is said?"]).result()
        assert asked.timings.encode_ms == 0
        assert asked.timings.reused_tokens == asked.timings.prompt_tokens - 1


def test_a_changed_beginning_is_rolled_back(alone):
    seven, command = (files.read(SAMPLES / name) for name in ("seven.wav", "command.wav"))
    with contextlib.closing(
        alone.conversation(reserve=True, sampling=GREEDY, config=SHORT)
    ) as talk:
        talk.prefill([command])
        asked = talk.ask([seven, "What is said?"]).result()
        assert asked.text.strip() == EXPECTED["seven.wav"]["What is said?"]
        running = talk.prefill([command, "What is said?"])
        assert talk.prefill([command, "What is said?", "Hm?"]) is not running
        assert running.result().finish_reason == "length"  # what goes on from it waits for it
        dropped = talk.prefill([command, "What?"])
        assert talk.ask([command, "What is said?"]).result().text
        assert dropped.result().finish_reason in ("cancelled", "length")


def test_a_reserved_sequence_is_given_back(alone):
    talks = [alone.conversation(reserve=True)]
    with pytest.raises(OverloadedError):
        alone.conversation(reserve=True)  # the last one is for requests of others
    talks[0].close()
    alone.conversation(reserve=True).close()


def test_prepared_media_are_remembered(alone):
    noise = np.random.default_rng(5).standard_normal(16000 * 20).astype(np.float32) / 20
    began = time.thread_time()
    first = alone.prepare([(noise, 16000), "What?"])
    made = time.thread_time() - began
    began = time.thread_time()
    second = alone.prepare(["So:", (noise, 16000), "What?"])
    again = time.thread_time() - began
    assert [kind for kind, _ in second.chunks] == [kind for kind, _ in first.chunks]
    assert again < made / 2


def test_media_are_prepared_alike_alone_and_among_others(alone):
    question = ["a", SHAPES, SEVEN, "b", SEVEN, SHAPES, "c"]
    mixed = alone.prepare(question)
    rows = dict(kind for kind in alone.prepare([SHAPES, SEVEN]).chunks if kind[0] != "text")
    assert [c for c in mixed.chunks if c[0] != "text"] == [
        ("image", rows["image"]),
        ("audio", rows["audio"]),
        ("audio", rows["audio"]),
        ("image", rows["image"]),
    ]
