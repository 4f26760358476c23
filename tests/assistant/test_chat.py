"""A live chat: heard, answered, interrupted; what is told of it, and what it leaves."""

import asyncio
import contextlib
import json

import pytest

from mullama_media import Engine, EngineParams, MultimodalProcessor, SamplingParams
from mullama_media.assistant import Asked, ChatParams, LiveChat, Problem
from mullama_media.assistant.events import Answer
from mullama_media.errors import (
    InvalidOptionError,
    ModelCapabilityError,
    SessionError,
    VoiceError,
)
from mullama_media.frames import SpeechStarted, Utterance
from mullama_media.options import replace
from mullama_media.speech.parts import PartParams
from mullama_media.speech.turns import (
    Answered,
    Discard,
    EndOfTurn,
    Interrupt,
    PlaybackStarted,
    Token,
    Transcript,
    TurnParams,
    TurnTrace,
)
from mullama_media.testing import ScriptedTranscriber, ScriptedVoice
from tests.assistant.conftest import ear_of, of, run, sample, silence
from tests.audio.signals import voice
from tests.conftest import SAMPLES

EXPECTED = json.loads((SAMPLES / "expected.json").read_text())
QUESTION = "What is said?"
HEARS = ChatParams(question=QUESTION, max_tokens=16, sampling=SamplingParams(temperature=0))
SHOWN = "What is in the picture?"
READS = replace(HEARS, question=None, max_tokens=60)


@pytest.fixture(scope="module")
def processor(model, media):
    with Engine(model, EngineParams(n_ctx=1024, n_parallel=2), media=media) as engine:
        yield MultimodalProcessor(engine)


def test_what_is_said_is_answered(processor):
    ear = ear_of(silence(0.7), sample("seven.wav"), silence(3), sample("command.wav"), silence(1.5))
    events = run(LiveChat(ear, processor, HEARS))
    answers = of(events, Answer)
    expected = [EXPECTED[name][QUESTION] for name in ("seven.wav", "command.wav")]
    assert [one.completion.text.strip() for one in answers] == expected
    tokens = ["".join(t.text for t in of(events, Token) if t.generation_id == n) for n in (1, 2)]
    assert tokens == [one.completion.text for one in answers]
    for one in answers:  # the pause before the end was all the time it needed
        assert one.completion.timings.encode_ms == 0
        assert one.completion.timings.reused_tokens == one.completion.timings.prompt_tokens - 1
    kinds = [Utterance, EndOfTurn, Asked, Token, Answer, Answered, TurnTrace]
    first = [next(n for n, e in enumerate(events) if isinstance(e, kind)) for kind in kinds]
    assert first == sorted(first)
    for trace in of(events, TurnTrace):
        assert trace.outcome == "answered"
        assert trace.end_of_turn_delay_ms == pytest.approx(600, abs=60)
        assert trace.first_token_ms > trace.end_of_turn_delay_ms
    assert not of(events, Problem)


def test_without_parts_the_model_hears_the_same_later(processor):
    params = replace(HEARS, parts=PartParams(while_speaking=False))
    ear = ear_of(silence(0.7), 0.9 * sample("seven.wav"), silence(2))  # none that it knows
    (answer,) = of(run(LiveChat(ear, processor, params)), Answer)
    assert answer.completion.text.strip() == EXPECTED["seven.wav"][QUESTION]
    assert answer.completion.timings.reused_tokens < answer.completion.timings.prompt_tokens - 1


def test_speech_interrupts_an_answer_and_what_was_heard_counts(processor, loudspeaker):
    command = sample("command.wav")
    talk = [silence(0.6), command, silence(2.6), command, command, silence(2.5)]
    transcriber = ScriptedTranscriber(["Tell me a long story about the sea.", "Say no more."])
    chat = LiveChat(
        ear_of(*talk),
        processor,
        READS,
        transcriber=transcriber,
        voice=ScriptedVoice(),
        speaker=loudspeaker,
    )
    with contextlib.closing(transcriber):
        events = run(chat)
    assert [one.text for one in of(events, Asked)] == [
        "Tell me a long story about the sea.",
        "Say no more.",
    ]
    (cut,) = of(events, Interrupt)
    assert cut.reason == "speech"
    assert 500 < cut.heard_ms < 4000
    at = events.index(cut)
    speech = of(events, SpeechStarted)[1]
    assert cut.at - speech.speech_start < (500 + 400) * 16  # min_interrupt_ms and a pause to tell
    assert not [e for e in events[at:] if isinstance(e, Token) and e.generation_id == 1]
    said = chat.conversation.messages[1].parts[0]
    whole = "".join(t.text for t in of(events, Token) if t.generation_id == 1)
    assert said.startswith(cut.heard)
    assert whole.startswith(said)
    assert said != whole
    assert [trace.outcome for trace in of(events, TurnTrace)] == ["speech", "answered"]
    assert of(events, PlaybackStarted)


def test_who_goes_on_before_the_answer_goes_on_with_the_turn(processor, loudspeaker):
    command = sample("command.wav")
    talk = [silence(0.6), command, silence(0.5), command, silence(3)]
    transcriber = ScriptedTranscriber(["What is", "a cat?"])
    slow = ScriptedVoice(delay_ms=400)
    params = replace(READS, max_tokens=4, turns=TurnParams(resume_ms=2000))
    chat = LiveChat(
        ear_of(*talk), processor, params, transcriber=transcriber, voice=slow, speaker=loudspeaker
    )
    with contextlib.closing(transcriber):
        events = run(chat)
    assert [one.reason for one in of(events, Interrupt)] == ["reopened"]
    assert [one.turn_id for one in of(events, EndOfTurn)] == [1, 1]
    assert of(events, Asked)[-1].text == "What is a cat?"
    assert chat.conversation.messages[0].parts == ["What is a cat?"]
    assert len(chat.conversation.messages) == 2


def test_what_is_typed_and_shown_is_asked(processor):
    """At once; and a second question interrupts the answer to the first."""
    picture = SAMPLES / "shapes.png"
    chat = LiveChat(ear_of(silence(4)), processor, replace(HEARS, max_tokens=200))

    async def main():
        events, ids = [], []

        async def begin():
            while not chat.running:
                await asyncio.sleep(0.01)
            ids.append(await chat.ask("Tell me a long story about the sea."))

        with pytest.raises(SessionError, match="not running"):
            chat.ask("Too early?")
        async with chat:
            first = asyncio.create_task(begin())
            async for event in chat:
                events.append(event)
                if isinstance(event, Token) and event.generation_id == 1 and len(ids) == 1:
                    ids.append(await chat.ask(picture, SHOWN))
            await first
        with pytest.raises(SessionError, match="not running"):
            chat.ask("Too late?")
        return events, ids

    events, ids = asyncio.run(asyncio.wait_for(main(), 60))
    assert ids == [1, 2]
    assert [one.text for one in of(events, Asked)] == ["Tell me a long story about the sea.", SHOWN]
    assert [(one.generation_id, one.reason) for one in of(events, Interrupt)] == [(1, "asked")]
    (answer,) = of(events, Answer)
    assert answer.completion.text.strip() == EXPECTED["shapes.png"][SHOWN]
    assert [trace.outcome for trace in of(events, TurnTrace)] == ["asked", "answered"]


def test_what_is_typed_while_somebody_speaks_goes_with_what_they_say(processor):
    transcriber = ScriptedTranscriber(["Listen."])
    chat = LiveChat(
        ear_of(silence(0.7), sample("command.wav"), silence(2)),
        processor,
        replace(READS, max_tokens=4),
        transcriber=transcriber,
    )

    async def main():
        events = []
        async with chat:
            async for event in chat:
                events.append(event)
                if isinstance(event, SpeechStarted):
                    asked = chat.ask("What is a cat?")
                    assert not asked.done()
        return events, await asked

    with contextlib.closing(transcriber):
        events, number = asyncio.run(asyncio.wait_for(main(), 60))
    (asked,) = of(events, Asked)
    assert (number, asked.generation_id) == (1, 1)
    assert asked.content == ("Listen.", "What is a cat?")
    assert asked.text == "Listen.\nWhat is a cat?"
    assert len(of(events, Answer)) == 1


def test_nothing_said_is_not_asked(processor):
    transcriber = ScriptedTranscriber([""])
    chat = LiveChat(
        ear_of(silence(0.6), voice(16000), silence(1.2)), processor, READS, transcriber=transcriber
    )
    with contextlib.closing(transcriber):
        events = run(chat)
    assert of(events, Transcript)
    assert not of(events, Asked)
    assert chat.conversation.messages == ()


def test_muted_speech_never_reaches_the_model(processor):
    """And what was said before it does."""
    seven, command = sample("seven.wav"), sample("command.wav")
    turns = TurnParams(end_silence_ms=2500)
    ear = ear_of(silence(0.7), seven, silence(1), command, silence(3))
    chat = LiveChat(ear, processor, replace(HEARS, turns=turns))

    async def main():
        events = []
        async with chat:
            async for event in chat:
                events.append(event)
                if isinstance(event, Utterance):
                    chat.mute()
        return events

    events = asyncio.run(main())
    assert [d.reason for d in of(events, Discard)] == ["muted"]
    (answer,) = of(events, Answer)
    assert answer.completion.text.strip() == EXPECTED["seven.wav"][QUESTION]


def test_a_voice_that_fails_is_told_and_the_chat_goes_on(processor, loudspeaker):
    broken = ScriptedVoice(fails_on="", error=VoiceError("it lost its tongue"))
    ear = ear_of(silence(0.7), sample("seven.wav"), silence(2), sample("command.wav"), silence(1.5))
    events = run(LiveChat(ear, processor, HEARS, voice=broken, speaker=loudspeaker))
    assert ["tongue" in str(one.error) for one in of(events, Problem)] == [True, True]
    assert len(of(events, EndOfTurn)) == len(of(events, Asked)) == 2


def test_a_voice_that_fails_in_the_middle_leaves_the_model_free(processor, loudspeaker):
    """Also one that raises what is no error of ours."""
    command = sample("command.wav")
    transcriber = ScriptedTranscriber(["Tell me a long story about the sea.", "And a king."])
    broken = ScriptedVoice(fails_on="", error=ValueError("it lost its tongue"))
    chat = LiveChat(
        ear_of(silence(0.6), command, silence(3), command, silence(1.5)),
        processor,
        READS,
        transcriber=transcriber,
        voice=broken,
        speaker=loudspeaker,
    )
    with contextlib.closing(transcriber):
        events = run(chat)
    assert ["tongue" in str(one.error) for one in of(events, Problem)] == [True, True]
    assert len(of(events, Asked)) == 2


def test_who_leaves_the_loop_stops_everything(processor):
    ear = ear_of(silence(0.6), voice(16000), silence(60))
    events = run(LiveChat(ear, processor, HEARS), until=lambda e: isinstance(e, SpeechStarted))
    assert len(events) == 1
    assert not ear.running
    processor.conversation(reserve=True).close()  # the sequence is free again


def test_a_model_that_does_not_hear_needs_a_transcriber(model):
    with Engine(model, EngineParams(n_ctx=256, n_parallel=1)) as engine:
        deaf = MultimodalProcessor(engine)
        with pytest.raises(ModelCapabilityError, match="takes no recordings"):
            LiveChat(ear_of(silence(0.1)), deaf)


@pytest.mark.parametrize(
    "turns",
    [{"wake_phrase": "computer"}, {"min_interrupt_words": 2}, {"end_threshold": 0.1}],
)
def test_what_nobody_would_answer_is_refused(processor, turns):
    params = replace(HEARS, turns=TurnParams(**turns))
    with pytest.raises(InvalidOptionError, match=f"TurnParams.{next(iter(turns))}"):
        LiveChat(ear_of(silence(0.1)), processor, params)


def test_a_voice_without_a_speaker_is_refused(processor):
    with pytest.raises(InvalidOptionError, match="a voice needs a speaker"):
        LiveChat(ear_of(silence(0.1)), processor, HEARS, voice=ScriptedVoice())
