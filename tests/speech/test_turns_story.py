"""A conversation from beginning to end, to be read. Times are milliseconds."""

from mullama_media.speech.turns import (
    EndProbability,
    GenerationEnded,
    GenerationStarted,
    PlaybackEnded,
    PlaybackProgress,
    PlaybackStarted,
    Token,
    Transcript,
    TurnParams,
    TurnTaker,
)
from tests.speech.story import CONFIG, RATE, heard, line, play

PARAMS = TurnParams(
    end_silence_ms=500,
    end_threshold=0.5,
    max_end_silence_ms=1500,
    min_interrupt_words=2,
    wake_phrase="hey mullama",
    awake_ms=5000,
)

SPEECH = [
    (1000, 2000),  # somebody talks on the telephone
    (5000, 6500),  # "Hey Mullama, tell me about"
    (7400, 8000),  # "the sea."
    (8900, 9400),  # "And its fish." before anything was heard
    (13_000, 13_500),  # "Uh-huh."
    (16_000, 16_200),  # a cough
    (20_000, 21_500),  # "Stop. What is a whale?"
    (40_000, 41_000),  # the telephone again
]

WORDS = [
    (900, "I will call you back", 2400),
    (4900, "Hey Mulama, tell me about", 6900),
    (7300, "the sea.", 8400),
    (8800, "And its fish.", 9800),
    (12_900, "Uh-huh.", 13_900),
    (15_900, "", 16_700),
    (19_900, "Stop. What", 20_600),
    (19_900, "Stop. What is a whale?", 21_800),
    (39_900, "yes of course", 41_400),
]

HOUSE = [
    GenerationStarted(1, 7200),  # the phrase was said: this takes "tell me about" for all of it
    Token(1, 7600, "About"),
    EndProbability(2, 0.9, 8450),  # "the sea." is a whole question...
    GenerationStarted(2, 8700),
    Token(2, 8800, "The"),
    Token(2, 9050, " sea"),
    EndProbability(3, 0.3, 9820),  # ...that goes on, and without the new words is none...
    EndProbability(4, 0.8, 9900),  # ...but with them it is
    GenerationStarted(3, 10_000),
    Token(3, 10_100, "Fish"),
    PlaybackStarted(3, 10_400),
    PlaybackProgress(3, 19_990, 8600.0, "Fish live in the sea."),
    Token(3, 20_700, " and"),
    PlaybackProgress(3, 20_710, 8650.0),
    EndProbability(5, 0.95, 22_050),
    GenerationStarted(4, 22_200),
    Token(4, 22_300, "A whale"),
    PlaybackStarted(4, 22_600),
    GenerationEnded(4, 24_000),
    PlaybackProgress(4, 30_000, 7400.0, "A whale is no fish."),
    PlaybackEnded(4, 30_000),
]

STORY = """
  2500 Discard utterances='900-2100' reason='asleep'
  7000 Woke
  7000 EndOfTurn turn=2 generation=1 utterances='4900-6600' text='tell me about' speech_end=6500
  7500 Interrupt generation=1 turn=2 reason='reopened' heard_ms=0.0 heard=''
  7600 Dropped generation=1 what='Token'
  8400 JudgeTurn judgement=1 turn=2 utterances='4900-6600,7300-8100' text='Hey Mulama, tell me
            about'
  8400 JudgeTurn judgement=2 turn=2 utterances='4900-6600,7300-8100' text='Hey Mulama, tell me
            about the sea.'
  8500 EndOfTurn turn=2 generation=2 utterances='4900-6600,7300-8100' text='tell me about the
            sea.' speech_end=8000
  9000 Interrupt generation=2 turn=2 reason='reopened' heard_ms=0.0 heard=''
  9050 Dropped generation=2 what='Token'
  9800 JudgeTurn judgement=3 turn=2 utterances='4900-6600,7300-8100,8800-9500' text='Hey Mulama,
            tell me about the sea.'
  9800 JudgeTurn judgement=4 turn=2 utterances='4900-6600,7300-8100,8800-9500' text='Hey Mulama,
            tell me about the sea. And its fish.'
  9900 EndOfTurn turn=2 generation=3 utterances='4900-6600,7300-8100,8800-9500' text='tell me
            about the sea. And its fish.' speech_end=9400
 13200 PausePlayback generation=3
 13900 Discard utterances='12900-13600' reason='backchannel'
 13900 ResumePlayback generation=3
 16200 PausePlayback generation=3
 16700 Discard utterances='15900-16300' reason='false_interruption'
 16700 ResumePlayback generation=3
 20200 PausePlayback generation=3
 20600 Interrupt generation=3 turn=2 reason='words' heard_ms=8600.0 heard='Fish live in the
            sea.'
 20700 Dropped generation=3 what='Token'
 20710 Dropped generation=3 what='PlaybackProgress'
 21900 JudgeTurn judgement=5 turn=5 utterances='19900-21600' text='Stop. What is a whale?'
 22050 EndOfTurn turn=5 generation=4 utterances='19900-21600' text='Stop. What is a whale?'
            speech_end=21500
 30000 Answered generation=4 turn=5 heard_ms=7400.0 heard='A whale is no fish.'
 41500 Discard utterances='39900-41100' reason='asleep'
"""


def test_a_conversation():
    turns = TurnTaker(PARAMS, RATE, segmenter=CONFIG)
    words = [Transcript(of, text, at, final=not text.endswith("What")) for of, text, at in WORDS]
    actions = play(turns, heard(*SPEECH, until=45_000), *words, *HOUSE, until=45_000)
    assert "\n".join(map(line, actions)) == STORY.strip("\n")
