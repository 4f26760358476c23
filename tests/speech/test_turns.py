"""Turns: whose turn it is, rule by rule. A sample is a millisecond."""

import pytest

from mullama_media.errors import InvalidOptionError
from mullama_media.frames import Discontinuity, NoAudio, SpeechStarted
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
    MuteEar,
    NoAudioWarning,
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
    Woke,
)
from tests.speech.story import CONFIG, RATE, heard, kinds, of, play


def taker(**params) -> TurnTaker:
    return TurnTaker(TurnParams(**{"end_silence_ms": 600, **params}), RATE, segmenter=CONFIG)


def during(*speech, until=9000, others=(), **params):
    """An answer that plays from 3000 on, and what is said meanwhile: actions behind the first."""
    ear = heard((1000, 2000), *speech, until=until)
    first, *actions = play(taker(**params), ear, PlaybackStarted(1, 3000), *others, until=until)
    assert (first.generation_id, first.at) == (1, 2600)
    return actions


def spans(action):
    return [(u.start, u.end) for u in action.utterances]


# The end of a turn


def test_silence_ends_a_turn():
    (end,) = play(taker(), heard((1000, 2000), until=5000), until=5000)
    assert isinstance(end, EndOfTurn)
    assert (end.turn_id, end.generation_id, end.speech_end, end.at) == (1, 1, 2000, 2600)
    assert spans(end) == [(900, 2100)]


@pytest.mark.parametrize(("again", "utterances"), [(2499, 2), (2500, 1)])
def test_speech_that_is_certain_before_the_silence_is_over_goes_on_with_the_turn(again, utterances):
    actions = play(taker(), heard((1000, 2000), (again, 4000), until=4100), until=4600)
    assert len(of(EndOfTurn, actions)) == 2 - utterances
    actions = play(taker(), heard((1000, 2000), (again, 4000), until=5000), until=5000)
    assert len(of(EndOfTurn, actions)[0].utterances) == utterances


def test_silence_shorter_than_the_ears_ends_when_the_ear_is_certain():
    (end,) = play(taker(end_silence_ms=0), heard((1000, 2000), until=5000), until=5000)
    assert end.at == 2400


def test_a_split_utterance_is_one_turn():
    (end,) = play(taker(), heard((1000, 13_000), until=16_000), until=16_000)
    assert [u.ended_by for u in end.utterances] == [*(["max_utterance"] * 3), "silence"]
    assert end.at == 13_600


def test_too_little_speech_is_no_turn():
    ear = heard((1000, 1200), (4000, 4300), until=6000)
    few, end = play(taker(min_turn_speech_ms=300), ear, until=6000)
    assert (few.reason, spans(few), few.at) == ("too_short", [(900, 1300)], 1800)
    assert spans(end) == [(3900, 4400)]


@pytest.mark.parametrize(
    ("probability", "at", "ends"), [(0.9, 2450, 2600), (0.49, 2450, 4000), (0.9, 3000, 3000)]
)
def test_the_model_decides_how_long_silence_has_to_be(probability, at, ends):
    turns = taker(end_threshold=0.5, max_end_silence_ms=2000)
    said = Transcript(900, "so what I", 2300)
    verdict = EndProbability(1, probability, at)
    judge, end = play(turns, heard((1000, 2000), until=5000), said, verdict, until=5000)
    assert isinstance(judge, JudgeTurn)
    assert (judge.judgement, judge.turn_id, judge.text, judge.at) == (1, 1, "so what I", 2400)
    assert spans(judge) == spans(end)
    assert (end.at, end.text) == (ends, "so what I")


def test_a_model_that_says_nothing_costs_the_longest_silence():
    turns = taker(end_threshold=0.5, max_end_silence_ms=2000)
    assert play(turns, heard((1000, 2000), until=5000), until=5000)[-1].at == 4000


def test_a_verdict_on_less_than_the_turn_counts_for_nothing():
    turns = taker(end_threshold=0.5, max_end_silence_ms=2000)
    ear = heard((1000, 2000), (2600, 3000), until=9000)
    late = EndProbability(1, 1.0, 3450)
    first, second, end = play(turns, ear, late, until=9000)
    assert (first.judgement, second.judgement) == (1, 2)
    assert len(second.utterances) == 2
    assert end.at == 5000


def test_a_transcript_that_comes_later_is_judged_again():
    turns = taker(end_threshold=0.5, max_end_silence_ms=2000)
    ear = heard((1000, 2000), until=5000)
    said, verdict = Transcript(900, "done.", 2700), EndProbability(2, 0.8, 2800)
    first, second, end = play(turns, ear, EndProbability(1, 0.1, 2500), said, verdict, until=5000)
    assert (first.text, second.text, end.at) == ("", "done.", 2800)


def test_a_button_ends_a_turn_without_silence():
    (end,) = play(taker(), heard((1000, 2000), until=5000), Commit(1500), until=5000)
    assert end.at == 2400
    (end,) = play(taker(), heard((1000, 2000), until=5000), Commit(2450), until=5000)
    assert end.at == 2450


def test_what_is_typed_is_a_turn_at_once_whatever_a_turn_needs():
    turns = taker(wake_phrase="hey mullama", min_turn_speech_ms=300, resume_ms=1000)
    first, cut, second = play(turns, (), Typed(1000), Typed(1700), until=5000)[:3]
    assert (first.turn_id, first.utterances, first.speech_end, first.at) == (1, (), 1000, 1000)
    assert (cut.generation_id, cut.reason, cut.at) == (1, "asked", 1700)
    assert (second.turn_id, second.generation_id, second.at) == (2, 2, 1700)


def test_what_is_typed_while_somebody_speaks_is_asked_with_it():
    (end,) = play(taker(), heard((1000, 2000), until=5000), Typed(1500), until=5000)
    assert (end.at, len(end.utterances)) == (2400, 1)
    (end,) = play(taker(), heard((1000, 2000), until=5000), Typed(2450), until=5000)
    assert (end.at, len(end.utterances)) == (2450, 1)


def test_who_speaks_after_typing_begins_a_turn_of_their_own():
    ear = heard((1000, 2000), until=4000)
    first, *_, second = play(taker(resume_ms=2000), ear, Typed(500), until=4000)
    assert (first.at, first.utterances) == (500, ())
    assert (second.turn_id, len(second.utterances)) == (2, 1)


def test_a_button_holds_for_the_turn_it_was_pressed_in_not_for_what_is_added_to_it():
    ear = heard((1000, 2000), (2900, 4000), until=6000)
    *_, again = play(taker(), ear, Commit(2450), until=6000)
    assert (again.turn_id, again.at) == (1, 4600)


def test_whoever_goes_on_before_anything_is_heard_goes_on_with_the_turn():
    ear = heard((1000, 2000), (3000, 4000), until=6000)
    first, cancel, again = play(taker(), ear, Token(1, 2900, "Well"), until=6000)
    assert cancel == Interrupt(1, 1, "reopened", 0.0, "", 3100)
    assert (again.turn_id, again.generation_id, again.at) == (1, 2, 4600)
    assert spans(again) == [(900, 2100), (2900, 4100)]
    assert spans(first) == spans(again)[:1]


def test_after_a_while_or_once_it_is_heard_it_is_another_turn():
    for ear, others in (
        (heard((1000, 2000), (3601, 4600), until=7000), ()),
        (heard((1000, 2000), (3000, 4000), until=7000), (PlaybackStarted(1, 2990),)),
    ):
        actions = play(taker(), ear, *others, until=7000)
        assert kinds(actions) == ["EndOfTurn", "PausePlayback", "Interrupt", "EndOfTurn"]
        assert actions[2].reason == "speech"
        assert (actions[3].turn_id, len(actions[3].utterances)) == (2, 1)


# Interruptions


def test_speech_pauses_an_answer_and_when_it_is_long_enough_interrupts_it():
    before = PlaybackProgress(1, 4900, 1900.0, "Once upon a time")
    pause, cut, end = during((5000, 6500), others=[before])
    assert pause == PausePlayback(1, 5200)
    assert cut == Interrupt(1, 1, "speech", 1900.0, "Once upon a time", 5700)
    assert (end.turn_id, end.generation_id, end.at) == (2, 2, 7100)
    assert spans(end) == [(4900, 6600)]


@pytest.mark.parametrize(("length", "interrupts"), [(499, False), (500, True)])
def test_the_length_of_speech_counts_not_the_silence_after_it(length, interrupts):
    actions = during((5000, 5000 + length))
    assert kinds(actions)[0] == "PausePlayback"
    assert bool(of(Interrupt, actions)) == interrupts
    if not interrupts:
        _, gone, resume = actions
        assert (gone.reason, spans(gone)) == ("false_interruption", [(4900, 5599)])
        assert resume == ResumePlayback(1, 5000 + length + 400)


def test_speech_after_a_pause_counts_when_it_is_certain_that_there_is_any():
    on = during((5000, 5150), (5450, 7000))
    assert of(Interrupt, on)[0].at == 5000 + 500 + 200
    nothing = during((5000, 5190), others=[Token(1, 5400)])
    assert of(Interrupt, nothing) == []


def test_a_short_noise_is_not_noticed():
    (gone,) = during((5000, 5190), pause_after_ms=500)
    assert gone.reason == "false_interruption"
    assert during((5000, 5090)) == []


def test_words_interrupt_where_transcripts_are_given():
    words = {"min_interrupt_words": 2}
    said = Transcript(4900, "Stop it", 5650, final=False)
    pause, cut, end = during((5000, 5500), others=[said], **words)
    assert (pause.at, cut.reason, cut.at) == (5200, "words", 5650)
    assert (end.text, end.at) == ("Stop it", 6100)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Uh-huh.", "backchannel"),
        ("Mm-hmm, I see, okay", "backchannel"),
        ("", "false_interruption"),
        ("Stop", "too_few_words"),
    ],
)
def test_what_is_no_interruption_lets_the_answer_go_on(text, reason):
    said = Transcript(4900, text, 6050)
    _, gone, resume = during((5000, 5600), others=[said], min_interrupt_words=2)
    assert (gone.reason, spans(gone), gone.at) == (reason, [(4900, 5700)], 6050)
    assert resume == ResumePlayback(1, 6050)


def test_without_words_an_answer_goes_on_after_a_while():
    _, gone, resume = during((5000, 5600), min_interrupt_words=1, false_interrupt_ms=1500)
    assert (gone.reason, resume.at) == ("false_interruption", 7100)


def test_an_answer_that_ends_meanwhile_was_not_interrupted():
    over = PlaybackEnded(1, 5300)
    others = [PlaybackProgress(1, 5299, 2299.0, "x"), over]
    pause, go_on, done, end = during((5000, 7000), others=others)
    assert isinstance(pause, PausePlayback)
    assert go_on == ResumePlayback(1, 5300)  # or the next answer would not be heard
    assert done == Answered(1, 1, 2299.0, "x", 5300)
    assert (end.turn_id, end.at) == (2, 7600)
    *_, done, end = during((5000, 5600), others=[PlaybackEnded(1, 6300)], min_interrupt_words=1)
    assert (end.turn_id, end.at) == (2, 6300)


def test_what_was_said_over_the_end_of_an_answer_is_judged_when_it_is_over():
    over = PlaybackEnded(1, 6300)
    judges = {"min_interrupt_words": 1, "end_threshold": 0.5, "max_end_silence_ms": 2000}
    ear = heard((1000, 2000), (5000, 5600), until=9000)
    told = [EndProbability(1, 1.0, 2500), PlaybackStarted(1, 3000), over]
    actions = play(taker(**judges), ear, *told, EndProbability(2, 1.0, 6400), until=9000)
    assert kinds(actions)[-2:] == ["JudgeTurn", "EndOfTurn"]
    assert (actions[-2].judgement, actions[-2].at, actions[-1].at) == (2, 6300, 6400)


def test_a_button_stops_an_answer():
    assert during(others=[StopAnswer(5000)]) == [Interrupt(1, 1, "asked", 0.0, "", 5000)]
    assert play(taker(), [], StopAnswer(5000)) == []


def test_an_answer_that_is_not_spoken_is_over_when_it_is_written():
    written = [Token(1, 2700), GenerationEnded(1, 2900, spoken=False)]
    actions = play(taker(), heard((1000, 2000), until=5000), *written, until=5000)
    assert kinds(actions) == ["EndOfTurn", "Answered"]


# Generations


def test_what_comes_of_a_generation_that_is_over_is_dropped_and_counted():
    late = [Token(1, 5800), PlaybackProgress(1, 5810, 99.0), GenerationEnded(1, 5820)]
    turns = taker()
    ear = heard((1000, 2000), (5000, 6500), until=8000)
    own = [PlaybackStarted(1, 3000), Token(2, 7200), *late]
    actions = play(turns, ear, *own, until=8000)
    assert of(Dropped, actions) == [
        Dropped(1, "Token", 5800),
        Dropped(1, "PlaybackProgress", 5810),
        Dropped(1, "GenerationEnded", 5820),
    ]
    assert turns.dropped == 3
    assert turns.generation == 2


def test_ids_that_were_never_given_are_refused_and_nothing_is_lost():
    turns = taker()
    for _, event in heard((1000, 2000), until=2500):
        assert turns.push(event) == []
    with pytest.raises(InvalidOptionError, match="2 was never given"):
        turns.push(Token(2, 2700))
    with pytest.raises(InvalidOptionError, match="1 was never given"):
        turns.push(EndProbability(1, 0.5, 2700))
    assert kinds(turns.advance(2700)) == ["EndOfTurn"]


def test_other_rates_and_no_probabilities_are_refused():
    with pytest.raises(InvalidOptionError, match="48000 Hz, not 1000"):
        taker().push(SpeechStarted(0, 0, 0, 48_000))
    with pytest.raises(InvalidOptionError, match="not a probability"):
        EndProbability(1, 1.5, 0)
    with pytest.raises(InvalidOptionError, match="0 Hz"):
        TurnTaker(index_rate=0)
    with pytest.raises(InvalidOptionError, match="at least 600"):
        TurnParams(end_threshold=0.5, max_end_silence_ms=500)
    with pytest.raises(InvalidOptionError, match="no word"):
        TurnParams(wake_phrase="?!")


# Mute, and no audio


def test_half_duplex_is_deaf_while_an_answer_plays_and_a_little_longer():
    ear = [(3500, 4500), (6100, 6600), (8000, 9000)]
    actions = during(*ear, until=10_000, others=[PlaybackEnded(1, 6000)], half_duplex=True)
    mute, first, done, unmute, second, end = actions
    assert (mute, unmute) == (MuteEar(True, 3000), MuteEar(False, 6300))
    assert (first.reason, second.reason, done.at) == ("muted", "muted", 6000)
    assert spans(end) == [(7900, 9100)]


def test_a_muted_user_is_not_heard():
    mutes = [Muted(True, 1500), Muted(False, 6000)]
    ear = heard((1000, 2000), (4000, 5000), (7000, 8000), until=9000)
    actions = play(taker(resume_ms=0), ear, *mutes, PlaybackStarted(1, 3000), until=9000)
    assert kinds(actions) == ["EndOfTurn", "Discard", "PausePlayback", "Interrupt", "EndOfTurn"]
    assert (actions[1].reason, spans(actions[1])) == ("muted", [(3900, 5100)])


def test_speech_that_goes_on_when_the_ear_opens_is_heard_from_the_next_utterance_on():
    mutes = [Muted(True, 500), Muted(False, 3000)]
    gone, end = play(taker(), heard((1000, 8000), until=9000), *mutes, until=9000)
    assert (gone.reason, spans(gone)[0][0], end.at) == ("muted", 900, 8600)
    assert end.utterances[0].start == gone.utterances[0].end


def test_silence_of_the_device_ends_turns_too_and_is_told_once():
    turns = taker(no_audio_timeout_ms=1000)
    ear = heard((1000, 2000), until=2450)
    assert play(turns, ear, until=2450) == []
    assert turns.starve(149) == []
    (end,) = turns.starve(1)
    assert (end.at, kinds([end])) == (2450, ["EndOfTurn"])
    assert turns.starve(849) == []
    assert turns.starve(500) == [NoAudioWarning(2450)]
    assert turns.starve(5000) == []
    assert turns.advance(2460) == []
    assert turns.push(NoAudio(2460, 1000, RATE)) == [NoAudioWarning(2460)]


def test_lost_samples_are_silence():
    turns = taker()
    ear = heard((1000, 2000), until=2450)
    play(turns, ear, until=2450)
    (end,) = turns.push(Discontinuity(2450, 1000, "overrun"))
    assert end.at == 2600


# The wake phrase

WAKE = {"wake_phrase": "Hey Mullama", "awake_ms": 4000}


def said(begin, text):
    return Transcript(begin - 100, text, begin + 1350)


def test_turns_before_the_wake_phrase_are_ignored():
    ear = heard((1000, 2000), (4000, 5000), until=7000)
    words = said(1000, "turn on the light"), said(4000, "Hey, Mulama, turn on the light!")
    gone, woke, end = play(taker(**WAKE), ear, *words, until=7000)
    assert (gone.reason, gone.at) == ("asleep", 2600)
    assert woke == Woke(5600)
    assert (end.text, end.at) == ("turn on the light!", 5600)


def test_it_stays_awake_after_the_phrase_and_after_each_answer():
    ear = heard((1000, 2000), (4000, 5000), (9000, 10_000), (19_000, 20_000), until=22_000)
    words = (
        said(1000, "hey mullama"),
        said(4000, "what time is it"),
        said(9000, "hey mullama and tomorrow"),
        said(19_000, "and then?"),
    )
    answers = [GenerationEnded(n, at, spoken=False) for n, at in ((1, 5700), (2, 10_700))]
    actions = play(taker(**WAKE), ear, *words, *answers, until=22_000)
    assert kinds(actions) == [
        *("Woke", "Discard", "EndOfTurn", "Answered", "EndOfTurn", "Answered", "Discard")
    ]
    assert [each.reason for each in of(Discard, actions)] == ["wake_phrase", "asleep"]
    assert [each.text for each in of(EndOfTurn, actions)] == ["what time is it", "and tomorrow"]


def test_the_end_of_a_turn_waits_for_the_words_the_phrase_may_be_in():
    ear = heard((1000, 2000), until=9000)
    late = Transcript(900, "hey mullama stop", 4000)
    assert play(taker(**WAKE), ear, late, until=9000)[-1].at == 4000
    (gone,) = play(taker(**WAKE, transcript_wait_ms=1000), ear, until=9000)
    assert (gone.reason, gone.at) == ("no_transcript", 3600)


def test_a_woken_turn_that_goes_on_needs_no_second_phrase():
    ear = heard((1000, 2000), (3200, 4000), until=7000)
    words = said(1000, "so hey mullama turn on"), said(3200, "the light")
    actions = play(taker(**WAKE), ear, *words, until=7000)
    assert kinds(actions) == ["Woke", "EndOfTurn", "Interrupt", "EndOfTurn"]
    assert [each.text for each in of(EndOfTurn, actions)] == ["turn on", "turn on the light"]


def test_finish_tells_the_rest():
    turns = taker()
    ear = heard((1000, 2000), until=2450)
    play(turns, ear)
    (end,) = turns.finish()
    assert spans(end) == [(900, 2100)]
    turns = taker(min_interrupt_words=1)
    ear = heard((1000, 2000), (5000, 6000), until=6450)
    play(turns, ear, PlaybackStarted(1, 3000), GenerationStarted(1, 2700))
    gone, resume = turns.finish()
    assert (gone.reason, resume.generation_id) == ("false_interruption", 1)
    assert turns.finish() == []
