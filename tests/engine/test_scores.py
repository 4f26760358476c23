"""Rerankers and classifiers, against NumPy."""

import numpy as np
import pytest

from mullama_media import EmbeddingParams, Engine, EngineParams, Model, ScoreParams
from mullama_media.errors import ContextOverflowError, InvalidOptionError
from tests.bert import CLS, SEP, UNK, WORDS, TinyBert

QUERY = "the cat"
DOCUMENTS = ["a dog ran", "the small cat sat on a mat", "moon", "the tree is big and blue !"]


def ids(text):
    return [5 + WORDS.index(word) for word in text.split()]


def engine_of(bert, path, params=None, **fields):
    model = Model.load(bert.write(path, **{"bert.pooling_type": 4, **fields}))
    return Engine(model, (params or EngineParams()).with_pooling("rank"))


def close(values, expected):
    return np.abs(values - expected).max() <= 5e-3 * max(1, np.abs(expected).max())


@pytest.fixture(scope="module")
def reranker():
    return TinyBert.random(1, n_out=1)


@pytest.fixture(scope="module")
def engine(reranker, tmp_path_factory):
    with engine_of(reranker, tmp_path_factory.mktemp("rank") / "r.gguf") as engine:
        yield engine


def test_a_pair_stands_between_the_borders_of_the_vocabulary(reranker, engine):
    scores = engine.score(QUERY, DOCUMENTS).result()
    expected = []
    for document, score in zip(DOCUMENTS, scores, strict=True):
        assert score.tokens.tolist() == [CLS, *ids(QUERY), SEP, *ids(document)]
        expected.append(reranker.scores(score.tokens)[0])
        assert close(score.values, expected[-1])
        assert float(score) == score.value == score.values[0]
    assert np.argsort([float(s) for s in scores]).tolist() == np.argsort(expected).tolist()
    assert np.std(expected) > 0.1
    single = engine.score(QUERY, DOCUMENTS[1]).result()
    assert close(single.values, expected[1])


def test_many_pairs_are_scored_as_each_alone(reranker, engine):
    rng = np.random.default_rng(2)
    documents = [" ".join(rng.choice(WORDS, rng.integers(1, 60))) for _ in range(100)]
    before = engine.counters.steps
    scores = engine.score(QUERY, documents).result()
    total = sum(len(score.tokens) for score in scores)
    assert engine.counters.steps - before <= 1.3 * total / 512 + 2
    assert all(close(s.values, reranker.scores(s.tokens)) for s in scores)


def test_a_text_from_outside_is_no_border(engine):
    score = engine.score("the [SEP] cat", ["a [CLS] dog"]).result()[0]
    inner = score.tokens[1:].tolist()
    assert inner.count(SEP) == 1
    assert CLS not in inner
    assert UNK in inner


def test_the_template_of_the_file_is_used(reranker, tmp_path):
    template = "[CLS]is {query} ? {document} ![SEP]"
    fields = {"tokenizer.chat_template.rerank": template}
    with engine_of(reranker, tmp_path / "t.gguf", **fields) as engine:
        scores = engine.score(QUERY, DOCUMENTS).result()
        for document, score in zip(DOCUMENTS, scores, strict=True):
            around = f"is {QUERY} ? {document} !"
            assert score.tokens.tolist() == [CLS, *ids(around), SEP]
            assert close(score.values, reranker.scores(score.tokens))
        forged = engine.score("the [SEP]", ["a {query} b"]).result()[0].tokens.tolist()
        assert forged.count(SEP) == 1
        assert forged.count(5 + WORDS.index("the")) == 1  # the document is not read as a template


@pytest.mark.parametrize("template", [None, "[CLS]{query} ? {document}[SEP]"])
def test_a_long_document_is_refused_by_its_place_or_cut(reranker, tmp_path, template):
    fields = {"tokenizer.chat_template.rerank": template} if template else {}
    with engine_of(reranker, tmp_path / "l.gguf", EngineParams(n_ubatch=12), **fields) as engine:
        documents = ["a dog", " ".join(WORDS)]
        with pytest.raises(ContextOverflowError, match=r"documents\[1\]"):
            engine.score(QUERY, documents)
        cut = engine.score(QUERY, documents, ScoreParams(truncate=True)).result()[1]
        assert len(cut.tokens) == 12
        assert cut.tokens[-1] == (SEP if template else 5 + 7)
        assert close(cut.values, reranker.scores(cut.tokens))
        with pytest.raises(ContextOverflowError, match=r"query.*leaves none"):
            engine.score(" ".join(WORDS), documents, ScoreParams(truncate=True))


def test_an_empty_text_is_refused_by_its_place(engine):
    with pytest.raises(InvalidOptionError, match=r"documents\[1\].*nothing to compare"):
        engine.score(QUERY, ["a dog", ""])
    with pytest.raises(InvalidOptionError, match=r"query.*nothing to compare"):
        engine.score("", ["a dog"])
    with pytest.raises(InvalidOptionError, match=r"pooling=\"rank\""):
        engine.embed("a dog", EmbeddingParams())


def test_a_classifier_says_a_value_for_each_label(tmp_path):
    bert = TinyBert.random(3, n_out=3)
    labels = ["bad", "so-so", "good"]
    fields = {"bert.classifier.output_labels": labels}
    with engine_of(bert, tmp_path / "c.gguf", **fields) as engine:
        assert engine.model.labels == tuple(labels)
        for document, score in zip(DOCUMENTS, engine.score(None, DOCUMENTS).result(), strict=True):
            assert score.tokens.tolist() == [CLS, *ids(document), SEP]
            expected = bert.scores(score.tokens)
            assert close(score.values, expected)
            assert list(score.by_label) == labels
            assert max(score.by_label, key=score.by_label.get) == labels[expected.argmax()]
