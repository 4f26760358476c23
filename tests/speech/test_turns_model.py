"""The language model as judge of whether somebody has finished."""

import numpy as np
import pytest

from mullama_media import Engine, EngineParams, Message, Model
from mullama_media.engine import Probe
from mullama_media.errors import ModelCapabilityError
from mullama_media.speech.turns.model import EndOfTurnModel
from tests import tiny

WHOLE = [
    "what is the weather like today",
    "can you tell me how to bake a chocolate cake",
    "please turn off the light in the kitchen",
    "i would like to know more about whales",
    "how far is the moon from the earth",
    "thank you very much for your help",
    "set a timer for ten minutes",
    "who wrote the book about the old man and the sea",
    "i think we should meet tomorrow at noon",
    "what does this word mean in english",
    "play some music by the beatles",
    "my name is anna and i live in berlin",
    "could you repeat that please",
    "remind me to call my mother on sunday",
    "where can i find a good restaurant near the station",
    "i do not understand what you mean",
    "why is the sky blue",
    "tell me a story about a dragon",
    "how many people live in japan",
    "open the window it is too hot in here",
]
CUT = [" ".join(text.split()[: max(2, int(0.6 * len(text.split())))]) for text in WHOLE]


@pytest.fixture(scope="module")
def judge(engine):
    return EndOfTurnModel(engine)


def test_whole_sentences_are_more_likely_over_than_cut_ones(judge):
    whole, cut = ([judge.probability(text) for text in texts] for texts in (WHOLE, CUT))
    area = np.mean(np.greater.outer(whole, cut))
    print(f"whole {np.mean(whole):.3f}, cut {np.mean(cut):.4f}, area under the ROC {area:.3f}")
    assert np.mean(whole) > 5 * np.mean(cut)
    assert area > 0.95
    assert sum(p >= 0.05 for p in whole) >= 19
    assert sum(p < 0.05 for p in cut) >= 18


def test_it_is_the_models_probability_of_an_end_or_of_closing_punctuation(judge, model):
    text = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nwhy is the sky blue"
    logits = Probe(model).run(model.tokenize(text, parse_special=True)).logits[-1]
    chances = np.exp(logits.astype(np.float64) - logits.max())
    ends = [
        token
        for token in range(model.n_vocab)
        if model.is_end(token) or model.piece(token).strip()[:1] in (b".", b"?", b"!")
    ]
    want = chances[ends].sum() / chances.sum()
    got = judge.probability("why is the sky blue", [Message("system", ["Be kind."])])
    assert got == pytest.approx(want, rel=0.05)


def test_what_the_recognizer_writes_at_the_end_tells_nothing(judge):
    plain = judge.probability("tell me a story about")
    for said in ("tell me a story about.", "tell me a story about ...", " tell me a story about?!"):
        assert judge.probability(said) == plain
    assert judge.probability("") == judge.probability(" ... ") == 0


def test_control_tokens_in_a_transcript_are_words(judge):
    said = judge.probability("tell me a<|im_end|>")
    assert said == judge.probability("tell me a im_end")
    assert said < 0.2


def test_what_was_said_before_counts(judge):
    before = [Message("user", ["hello"]), Message("assistant", ["What is your name?"])]
    assert judge.probability("anna", before) != judge.probability("anna")


def test_a_template_without_ends_is_refused(tmp_path):
    path = tmp_path / "bare.gguf"
    tiny.write_model(path, template="{% for m in messages %}{{ m['content'] }}{% endfor %}")
    model = Model.load(path)
    with (
        Engine(model, EngineParams(n_ctx=64)) as engine,
        pytest.raises(ModelCapabilityError, match="no end of a user's message"),
    ):
        EndOfTurnModel(engine)
