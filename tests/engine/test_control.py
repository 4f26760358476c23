"""Control vectors: arithmetic, files, effect, and making them from prompts."""

import json

import gguf
import numpy as np
import pytest

from mullama_media.engine import AdapterSet, ControlVector, Probe, control_vector_from_prompts
from mullama_media.errors import InvalidOptionError, ModelLoadError
from tests.made import write_gguf


@pytest.fixture(scope="module")
def probe(model):
    return Probe(model, 64)


def test_it_is_a_value_with_arithmetic():
    one = ControlVector({1: [1, 2], 3: [0, 4]}, model_hint="llama")
    two = ControlVector({2: [5, 5]})
    assert one.layers == (1, 3)
    assert one.n_embd == 2
    both = 2 * one + two - one
    assert both.row(1).tolist() == [1, 2]
    assert both.row(2).tolist() == [5, 5]
    assert both.row(3).tolist() == [0, 4]
    assert both.row(9).tolist() == [0, 0]
    assert both.model_hint == "llama"
    assert -one == one * -1
    assert one == ControlVector({1: [1, 2], 3: [0, 4], 5: [0, 0]})
    assert len({one, ControlVector({1: [1, 2], 3: [0, 4]})}) == 1
    assert both.between(2, 3).layers == (2, 3)


@pytest.mark.parametrize("name", ["x.gguf", "x.json"])
def test_it_goes_through_a_file(tmp_path, name):
    vector = ControlVector({1: [1.5, -2], 4: [0, 0.25]}, model_hint="llama")
    vector.save(tmp_path / name)
    assert ControlVector.load(tmp_path / name) == vector


def test_its_file_is_that_of_llama_cpp(tmp_path):
    file = tmp_path / "x.gguf"
    ControlVector({1: [1, 2], 2: [3, 4]}, model_hint="llama").save(file)
    reader = gguf.GGUFReader(file)
    assert {t.name: t.data.tolist() for t in reader.tensors} == {
        "direction.1": [1, 2],
        "direction.2": [3, 4],
    }
    assert reader.fields["general.architecture"].contents() == "controlvector"
    assert reader.fields["controlvector.model_hint"].contents() == "llama"
    assert reader.fields["controlvector.layer_count"].contents() == 2


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"direction.0": np.ones(4, np.float32)},
        {"direction.-1": np.ones(4, np.float32)},
        {"direction.99999999": np.ones(4, np.float32)},
        {"direction.1x": np.ones(4, np.float32)},
        {"other": np.ones(4, np.float32)},
        {"direction.1": np.ones((2, 4), np.float32)},
        {"direction.1": np.ones(4, np.float16)},
        {"direction.1": np.ones(4, np.float32), "direction.2": np.ones(5, np.float32)},
        {"direction.1": np.full(4, np.nan, np.float32)},
    ],
)
def test_hostile_files_are_refused(tmp_path, tensors):
    file = write_gguf(tmp_path / "bad.gguf", "controlvector", {}, tensors)
    with pytest.raises(ModelLoadError) as caught:
        ControlVector.load(file)
    assert caught.value.where == str(file)


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"a": [1]}', '{"1": 5}', '{"1": [1], "2": [1, 2]}', '{"0": [1]}']
)
def test_bad_json_is_refused(tmp_path, text):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises((ModelLoadError, InvalidOptionError)):
        ControlVector.load(file)
    with pytest.raises(ModelLoadError):
        ControlVector.load(tmp_path / "none.json")


def test_plain_json_is_taken(tmp_path):
    file = tmp_path / "plain.json"
    file.write_text(json.dumps({"2": [1, 2]}))
    assert ControlVector.load(file) == ControlVector({2: [1, 2]})


def test_bad_rows_are_refused():
    for rows in ({}, {1: []}, {1: [[1]]}, {1: [1], 2: [1, 2]}, {1: [np.inf]}, {5000: [1]}):
        with pytest.raises(InvalidOptionError):
            ControlVector(rows)
    with pytest.raises(InvalidOptionError, match="cannot be added"):
        _ = ControlVector({1: [1]}) + ControlVector({1: [1, 2]})


def test_it_acts_where_it_says(probe, model):
    """The row is added to what its layer gives the next one, and nothing before it changes."""
    tokens = model.tokenize("Once upon a time")
    row = np.linspace(-1, 1, 576).astype(np.float32)
    base = probe.run(tokens, hidden=True)
    pushed = probe.run(tokens, AdapterSet((), ControlVector({5: row})), hidden=True)
    np.testing.assert_array_equal(pushed.hidden[:5], base.hidden[:5])
    np.testing.assert_allclose(pushed.hidden[5] - base.hidden[5], np.tile(row, (4, 1)), atol=1e-3)
    assert np.abs(pushed.logits - base.logits).max() > 0.1
    # An earlier, longer vector leaves nothing behind in the layers a shorter one does not name.
    probe.run(tokens, AdapterSet((), ControlVector({20: 9 * row})))
    again = probe.run(tokens, AdapterSet((), ControlVector({5: row})))
    np.testing.assert_array_equal(again.logits, pushed.logits)
    np.testing.assert_array_equal(probe.run(tokens).logits, base.logits)


@pytest.mark.parametrize("method", ["mean", "pca"])
def test_one_made_from_prompts_pushes_the_right_way(probe, model, method):
    happy = [f"I feel happy, joyful and great about {x}." for x in ("work", "life", "the weather")]
    sad = [f"I feel sad, gloomy and awful about {x}." for x in ("work", "life", "the weather")]
    seen = []
    vector = control_vector_from_prompts(
        model, happy, sad, method=method, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert vector.layers == tuple(range(1, 30))
    assert vector.model_hint == "llama"
    assert all(np.linalg.norm(vector.row(n)) == pytest.approx(1, abs=1e-3) for n in vector.layers)
    tokens = model.tokenize("Today I feel very")
    words = [model.tokenize(word)[0] for word in (" happy", " sad")]

    def lean(scale):
        chosen = vector.between(10, 20) * scale
        logits = probe.run(tokens, AdapterSet((), chosen)).logits[-1]
        return float(logits[words[0]] - logits[words[1]])

    assert lean(4.0) > lean(1e-6) > lean(-4.0)


def test_prompts_that_make_no_pairs_are_refused(model):
    for positive, negative, method in (
        ([], [], "mean"),
        (["a"], [], "mean"),
        (["a"], ["b"], "median"),
        (["same"], ["same"], "mean"),
    ):
        with pytest.raises(InvalidOptionError):
            control_vector_from_prompts(model, positive, negative, method=method)
