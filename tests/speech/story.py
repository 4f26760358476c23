"""A conversation as a script: who speaks when, in milliseconds, through a real segmenter."""

import textwrap

import numpy as np

from mullama_media.audio.config import SegmenterConfig
from mullama_media.audio.segmenter import Segmenter
from mullama_media.frames import Pause, SpeechEvent
from mullama_media.speech.turns import TurnTaker

RATE = 1000  # a sample is a millisecond
CONFIG = SegmenterConfig(
    min_speech_ms=100,
    silence_ms=400,
    pause_ms=200,
    pre_roll_ms=100,
    post_roll_ms=100,
    max_utterance_ms=5000,
    split_search_ms=2000,
    no_audio_ms=1000,
)


def heard(*speech: tuple[int, int], until: int, config=CONFIG) -> list[tuple[int, SpeechEvent]]:
    """What the ear tells of speech in these spans, each event with the index it is told at."""
    segmenter = Segmenter(config, RATE)
    told = []
    for begin, end in [*speech, (until, until)]:
        for stop, voice in ((begin, 0.0), (end, 0.9)):
            events = segmenter.push(np.zeros(stop - segmenter.now, np.float32), voice)
            told += [(event_index(event), event) for event in events]
    return told


def event_index(event: SpeechEvent) -> int:
    """When the ear told it."""
    return event.end if isinstance(event, Pause) else event.decided


def play(taker: TurnTaker, ear, *others, step: int = 10**9, until: int = 0):
    """Push what the ear tells and everything else in order; advance by `step` in between."""
    events = sorted([*ear, *((each.at, each) for each in others)], key=lambda pair: pair[0])
    actions = []
    for at, event in events:
        while taker.now + step < at:
            actions += taker.advance(taker.now + step)
        actions += taker.push(event)
    while taker.now + step < until:
        actions += taker.advance(taker.now + step)
    return actions + (taker.advance(until) if until else [])


def line(action) -> str:
    """An action in words."""
    fields = {name: getattr(action, name) for name in type(action).__slots__}
    at = fields.pop("at")
    if "utterances" in fields:
        fields["utterances"] = ",".join(f"{u.start}-{u.end}" for u in fields["utterances"])
    told = " ".join(f"{name.removesuffix('_id')}={value!r}" for name, value in fields.items())
    words = f"{at:6} {type(action).__name__} {told}".rstrip()
    return textwrap.fill(words, 96, subsequent_indent=" " * 12, break_long_words=False)


def kinds(actions) -> list[str]:
    return [type(action).__name__ for action in actions]


def of(kind, actions):
    return [action for action in actions if isinstance(action, kind)]
