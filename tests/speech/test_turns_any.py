"""Turns in conversations of any kind: nothing lost, nothing doubled, one answer at a time."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mullama_media.audio.config import SegmenterConfig
from mullama_media.audio.segmenter import Segmenter
from mullama_media.frames import Utterance
from mullama_media.speech.turns import (
    Answered,
    Commit,
    Discard,
    Dropped,
    EndOfTurn,
    EndProbability,
    GenerationEnded,
    GenerationStarted,
    Interrupt,
    JudgeTurn,
    Muted,
    PausePlayback,
    PlaybackEnded,
    PlaybackProgress,
    PlaybackStarted,
    ResumePlayback,
    StopAnswer,
    Token,
    Transcript,
    TurnParams,
    TurnTaker,
    Typed,
)
from tests.speech.story import RATE, event_index

EAR = SegmenterConfig(
    min_speech_ms=20,
    silence_ms=60,
    pause_ms=25,
    pre_roll_ms=30,
    post_roll_ms=25,
    max_utterance_ms=1000,
    split_search_ms=300,
    no_audio_ms=100,
)
SPEECH = st.lists(
    st.tuples(st.integers(1, 250) | st.integers(800, 2500), st.sampled_from((0.0, 0.9))),
    min_size=1,
    max_size=25,
)
WORDS = st.sampled_from(("", "uh-huh", "stop", "please stop it", "hey mullama", "hey mullama go"))
TIMES = st.integers(5, 400)
OPTIONS = st.fixed_dictionaries(
    {
        "end_silence_ms": st.sampled_from((0, 60, 100, 200)),
        "end_threshold": st.sampled_from((None, 0.5)),
        "max_end_silence_ms": st.just(300),
        "min_turn_speech_ms": st.sampled_from((0, 40)),
        "resume_ms": st.sampled_from((0, 150)),
        "pause_after_ms": st.sampled_from((0, 30, 80)),
        "min_interrupt_ms": st.sampled_from((0, 50, 120)),
        "min_interrupt_words": st.sampled_from((0, 1, 2)),
        "false_interrupt_ms": st.sampled_from((0, 150)),
        "half_duplex": st.booleans(),
        "half_duplex_tail_ms": st.just(50),
        "wake_phrase": st.sampled_from(("", "hey mullama")),
        "awake_ms": st.just(500),
        "transcript_wait_ms": st.sampled_from((0, 100)),
        "no_audio_timeout_ms": st.just(100),
    }
)
# How the rest of the house behaves, chosen by numbers drawn one after the other.
HOUSE = st.lists(st.integers(0, 99), min_size=1, max_size=40)


class World:
    """Model, recognizer and loudspeaker around a TurnTaker, by the millisecond."""

    def __init__(self, params, speech, house):
        self.turns = TurnTaker(TurnParams(**params), RATE, segmenter=EAR)
        self.actions, self.due, self.script = [], [], []
        self.numbers, self.order = list(house), 0
        segmenter = Segmenter(EAR, RATE)
        told = []
        for n, voice in speech:
            told += segmenter.push(np.zeros(n, np.float32), voice)
        told += segmenter.finish()
        self.end = segmenter.now
        self.typed = []
        self.utterances = [event for event in told if isinstance(event, Utterance)]
        for event in told:
            self.plan(event_index(event), event)
        for kind, at in zip((Muted, StopAnswer, Commit, Muted, Typed), house, strict=False):
            if at % 3 == 0:
                at = 17 * at
                self.plan(at, kind(at < 800, at) if kind is Muted else kind(at))
                self.typed += [at] if kind is Typed else []

    def number(self):
        self.numbers.append(self.numbers.pop(0))
        return self.numbers[-1]

    def plan(self, at, event):
        self.order += 1
        self.due.append((at, self.order, event))

    def run(self):
        while self.due:
            self.due.sort(key=lambda each: each[:2])
            at, _, event = self.due[0]
            before = self.turns.advance(min(at, self.turns.now + 1))
            self.follow(before)
            if before or self.turns.now < at:
                continue
            self.due.pop(0)
            self.script.append(event)
            if isinstance(event, Utterance) and self.number() % 4:
                text = ("", "uh-huh", "stop", "please stop it", "hey mullama", "hey mullama go")
                at += self.number()
                self.plan(at, Transcript(event.start, text[self.number() % 6], at))
            self.follow(self.turns.push(event))
        for at in range(self.turns.now, self.turns.now + 2000):
            self.follow(self.turns.advance(at))
        self.stop = self.turns.now
        self.follow(self.turns.finish())
        return self

    def follow(self, actions):
        self.actions += actions
        for action in actions:
            if isinstance(action, JudgeTurn) and self.number() % 3:
                at = action.at + self.number()
                self.plan(at, EndProbability(action.judgement, self.number() / 100, at))
            if isinstance(action, EndOfTurn):
                self.answer(action)

    def answer(self, action):
        at, own = self.turns.now, action.generation_id
        for kind in (GenerationStarted, Token, PlaybackStarted, Token, PlaybackProgress):
            at += self.number()
            self.plan(at, kind(own, at, 10.0) if kind is PlaybackProgress else kind(own, at))
        spoken = self.number() % 4 > 0
        self.plan(at, GenerationEnded(own, at, spoken))
        if spoken:
            at += 10 * self.number()
            self.plan(at, PlaybackEnded(own, at))


@settings(max_examples=150, deadline=None)
@given(OPTIONS, SPEECH, HOUSE)
def test_every_utterance_is_in_one_turn_or_discarded_once(params, speech, house):
    world = World(params, speech, house).run()
    turns = {}
    for action in world.actions:
        if isinstance(action, EndOfTurn):
            before = turns.get(action.turn_id, ())
            assert action.utterances[: len(before)] == before, "a reopened turn keeps what it had"
            turns[action.turn_id] = action.utterances
    gone = [u for a in world.actions if isinstance(a, Discard) for u in a.utterances]
    kept = [u for utterances in turns.values() for u in utterances]
    assert sorted(u.start for u in [*gone, *kept]) == [u.start for u in world.utterances]
    assert all(isinstance(a, Discard) is False or a.utterances for a in world.actions)


@settings(max_examples=150, deadline=None)
@given(OPTIONS, SPEECH, HOUSE)
def test_one_answer_at_a_time_ids_and_indices_only_grow(params, speech, house):
    world = World(params, speech, house).run()
    live, paused, last, turn, at, over = None, False, 0, 0, 0, set()
    for action in world.actions:
        assert action.at >= at
        at = action.at
        match action:
            case EndOfTurn():
                assert live is None
                assert action.generation_id == last + 1
                assert action.turn_id >= turn
                assert action.utterances or world.typed
                live, paused, last, turn = action.generation_id, False, last + 1, action.turn_id
            case Answered() | Interrupt():
                assert action.generation_id == live
                over.add(live)
                live = None
            case PausePlayback() | ResumePlayback():
                assert action.generation_id == live
                assert paused is isinstance(action, ResumePlayback)
                paused = not paused
            case Dropped():
                assert action.generation_id in over
    assert world.turns.dropped == len([a for a in world.actions if isinstance(a, Dropped)])


@settings(max_examples=100, deadline=None)
@given(OPTIONS, SPEECH, HOUSE.map(lambda house: [1, 1, 1, 1, house[0] // 3 * 3, *house]))
def test_what_is_typed_is_asked_at_once_or_with_what_is_being_said(params, speech, house):
    world = World(params, speech, house).run()
    (typed,) = world.typed
    end = next(a for a in world.actions if isinstance(a, EndOfTurn) and a.at >= typed)
    assert end.at == typed or end.utterances
    cut = [a for a in world.actions if isinstance(a, Interrupt) and typed <= a.at <= end.at]
    assert not cut or cut[0].reason == "asked"


@settings(max_examples=100, deadline=None)
@given(OPTIONS, SPEECH, HOUSE, st.integers(0, 2**32 - 1))
def test_however_time_is_cut_the_same_is_told(params, speech, house, seed):
    world = World(params, speech, house).run()
    rng = np.random.default_rng(seed)
    most = int(rng.choice((2, 30, 5000)))
    turns = TurnTaker(TurnParams(**params), RATE, segmenter=EAR)
    actions = []
    for event in world.script:
        at = getattr(event, "at", None)
        at = event_index(event) if at is None else at
        while turns.now < at and rng.integers(4):
            actions += turns.advance(min(at, turns.now + int(rng.integers(0, most))))
        actions += turns.push(event)
    actions += [*turns.advance(world.stop), *turns.finish()]
    assert [told(action) for action in actions] == [told(action) for action in world.actions]


def told(action):
    values = {field.name: getattr(action, field.name) for field in dataclasses.fields(action)}
    values["utterances"] = [u.start for u in values.get("utterances", ())]
    return type(action).__name__, values
