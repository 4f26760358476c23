"""Many pictures through one engine."""

import hashlib
import json
import os
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from mullama_media import EngineParams, MultimodalProcessor
from mullama_media.caption import Captioner, CaptionParams, Journal
from mullama_media.errors import EngineClosedError, GrammarError, ModelCapabilityError
from tests.caption.conftest import draw
from tests.conftest import SAMPLES

BRIEF = CaptionParams(max_tokens=8)


def by_path(captions):
    return {caption.path: caption for caption in captions}


def test_the_real_model_says_what_it_sees(processor):
    params = CaptionParams(prompt="What is in the picture?")
    caption = Captioner(processor, params).caption(SAMPLES / "shapes.png")
    expected = json.loads((SAMPLES / "expected.json").read_text())["shapes.png"]
    assert caption.text == expected[params.prompt]
    assert caption.finish_reason == "stop"


def test_together_each_is_what_it_is_alone(seeing, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", n) for n in range(40)]
    captioner = Captioner(seeing, BRIEF)
    together = by_path(captioner.run(paths))
    assert sorted(together) == sorted(paths)
    for path in paths[::7]:
        assert together[path].text == captioner.caption(path).text
    assert len({caption.text for caption in together.values()}) > 5


def test_copies_are_asked_about_once(seeing, tmp_path):
    first = draw(tmp_path / "first.png", 1)
    copies = [shutil.copy(first, tmp_path / f"copy{n}.png") for n in range(9)]
    before = seeing.engine.counters.requests
    captions = by_path(Captioner(seeing, BRIEF).run([first, *map(str, copies)]))
    assert seeing.engine.counters.requests == before + 1
    assert len({caption.text for caption in captions.values()}) == 1
    original = [caption.path for caption in captions.values() if caption.duplicate_of is None]
    assert len(original) == 1
    assert {c.duplicate_of for c in captions.values()} == {None, original[0]}


def test_a_journal_is_not_asked_again(seeing, tmp_path):
    paths = [draw(tmp_path / f"{n}.png", n) for n in range(60)]
    captioner = Captioner(seeing, BRIEF)
    with Journal(tmp_path / "j", captioner.question) as journal:
        run = captioner.run(paths, journal)
        some = [next(run) for _ in range(3)]
        run.close()
        known = len(journal)
        assert 3 <= known < 60
    with Journal(tmp_path / "j", captioner.question) as journal:
        before = seeing.engine.counters.requests
        draw(paths[0], 1000)  # another picture under this name
        again = by_path(captioner.run(paths, journal))
        was_known = paths[0] in {caption.path for caption in some}
        asked = seeing.engine.counters.requests - before
        assert 60 - known + was_known <= asked <= 60 - known + 1
        fresh = hashlib.sha256((tmp_path / "0.png").read_bytes()).hexdigest()
        assert again[paths[0]].digest == fresh
    assert sorted(again) == sorted(paths)
    for caption in some:
        if caption.path != paths[0]:
            assert again[caption.path] == caption


def test_the_question_names_everything_a_caption_depends_on(seeing):
    question = Captioner(seeing, BRIEF).question
    assert Captioner(seeing, BRIEF.with_retries(5)).question == question
    for other in (
        BRIEF.with_prompt("?"),
        BRIEF.with_system("x"),
        BRIEF.with_max_tokens(9),
        BRIEF.with_schema('{"type": "boolean"}'),
        BRIEF.with_temperature(1.0),
    ):
        assert Captioner(seeing, other).question != question


def test_a_schema_makes_data(seeing, tmp_path):
    schema = '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}'
    caption = Captioner(seeing, CaptionParams(schema=schema)).caption(draw(tmp_path / "a.png", 0))
    assert caption.data in ({"n": 1}, {"n": 2})
    cut = Captioner(seeing, CaptionParams(schema=schema, max_tokens=2))
    error = cut.caption(tmp_path / "a.png").error
    assert "a.png: the answer is not JSON" in error
    long = '{"type": "array", "items": {"enum": [1, 2]}, "minItems": 40}'
    slow = CaptionParams(schema=long, timeout_s=0.001)
    assert "a.png: it took more than" in Captioner(seeing, slow).caption(tmp_path / "a.png").error
    with pytest.raises(GrammarError):
        Captioner(seeing, CaptionParams(schema="{"))


def bad_pictures(folder):
    """Name, and what is said of it or None where it is a picture after all."""
    good = draw(folder / "good.png", 0)
    data = (folder / "good.png").read_bytes()
    files = {
        "empty.png": (b"", "not a picture"),
        "text.jpg": (b"this is text", "not a picture"),
        "program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        "truncated.png": (data[: len(data) // 2], "cannot be decoded"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    told = {name: message for name, (_, message) in files.items()}
    shutil.copy(good, folder / "wrong-ending.jpg")
    draw(folder / "one.png", 1, (1, 1))
    draw(folder / "long.png", 2, (20_000, 10))
    frames = [Image.new("P", (20, 20), n) for n in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (20, 20), (9, 99, 0, 0)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(folder / "deep.png")
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(folder / "clear.png")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    (folder / "folder.png").mkdir()
    (folder / "broken-link.png").symlink_to(folder / "gone.png")
    for name in ("wrong-ending.jpg", "one.png", "long.png", "moving.gif", "cmyk.jpg"):
        told[name] = None
    told |= {"deep.png": None, "clear.png": None, "bomb.png": "too large"}
    told |= {"folder.png": "Is a directory", "broken-link.png": "no such file"}
    told |= {"gone.png": "no such file", "nul\0.png": "cannot be read"}
    return told


def test_a_bad_picture_fails_alone_and_says_why(seeing, tmp_path):
    told = bad_pictures(tmp_path)
    captions = by_path(Captioner(seeing, BRIEF).run(str(tmp_path / name) for name in told))
    assert len(captions) == len(told)
    for name, message in told.items():
        caption = captions[str(tmp_path / name)]
        if message is None:
            assert caption.error is None, name
            assert caption.finish_reason, name
        else:
            assert message in caption.error, name
            assert name in caption.error, name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(seeing, tmp_path):
    os.chmod(draw(tmp_path / "a.png", 0), 0)
    assert "Permission denied" in Captioner(seeing, BRIEF).caption(tmp_path / "a.png").error


def test_a_picture_has_a_time_limit(seeing, tmp_path):
    params = CaptionParams(max_tokens=200, timeout_s=0.001)
    caption = Captioner(seeing, params).caption(draw(tmp_path / "a.png", 0))
    assert "it took more than 0.001 s" in caption.error


def test_many_take_no_memory_and_few_threads(seeing, tmp_path):
    path = draw(tmp_path / "a.png", 0)
    copies = (path for _ in range(2000))
    most = 0
    for caption in Captioner(seeing, CaptionParams(max_tokens=1)).run(copies):
        most = max(most, sum("caption" in t.name for t in threading.enumerate()))
        assert caption.error is None
    assert most <= seeing.engine.params.n_parallel + 2


def test_what_cannot_begin_is_an_error_at_once(model, tiny_model, tmp_path):
    files, mmproj = tiny_model
    params = EngineParams(n_ctx=256, n_parallel=1)
    with (
        MultimodalProcessor.load(files, engine_params=params) as blind,
        pytest.raises(ModelCapabilityError, match="takes no pictures"),
    ):
        Captioner(blind)
    closed = MultimodalProcessor.load(files, mmproj=mmproj, engine_params=params)
    captioner = Captioner(closed)
    closed.close()
    with pytest.raises(EngineClosedError):
        list(captioner.run([draw(tmp_path / f"{n}.png", n) for n in range(9)]))
