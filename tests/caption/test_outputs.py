"""Captions as files."""

import csv
import json
import re
import sys
from xml.etree import ElementTree

import pytest

from mullama_media.caption import Caption
from mullama_media.caption.outputs import sidecar_path, write_sidecar, write_table
from mullama_media.caption.report import Report
from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError
from tests.caption.conftest import draw

CAPTIONS = [
    Caption("a, b.png", "d1", 'says "hi",\nand <ä>', finish_reason="stop", milliseconds=2.0),
    Caption("c.png", "d2", '{"n": 1}', {"n": 1}, "stop", "a, b.png"),
    Caption("d.png", error="d.png: broken"),
]


def test_json_lines_and_csv_hold_every_word(tmp_path):
    write_table(tmp_path / "t.jsonl", CAPTIONS)
    lines = (tmp_path / "t.jsonl").read_text("utf-8").splitlines()
    assert [Caption.from_dict(json.loads(line)) for line in lines] == CAPTIONS
    write_table(tmp_path / "t.csv", iter(CAPTIONS))
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [caption.text for caption in CAPTIONS]
    assert rows[1]["data"] == '{"n": 1}'
    assert rows[2]["error"] == "d.png: broken"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.jsonl"]


def test_parquet(tmp_path, monkeypatch):
    import pyarrow.parquet

    write_table(tmp_path / "t.parquet", CAPTIONS)
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    assert [row["text"] for row in table] == [caption.text for caption in CAPTIONS]
    assert table[0]["milliseconds"] == 2.0
    assert json.loads(table[1]["data"]) == {"n": 1}
    assert table[0]["data"] is None
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="parquet"):
        write_table(tmp_path / "t.parquet", CAPTIONS)


def test_a_file_lies_beside_its_picture(tmp_path):
    picture = draw(tmp_path / "a.png", 0)
    caption = Caption(picture, "d", "a <cat> & \x07 'dog'\nin Ä")
    assert write_sidecar(caption, "txt") == str(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text("utf-8") == caption.text + "\n"
    write_sidecar(caption, "json")
    assert Caption.from_dict(json.loads((tmp_path / "a.json").read_text("utf-8"))) == caption
    write_sidecar(caption, "xmp")
    found = ElementTree.parse(tmp_path / "a.xmp").find(".//{*}description//{*}li")
    assert found.text == "a <cat> &  'dog'\nin Ä"
    draw(tmp_path / "a.jpg", 0)
    assert sidecar_path(picture, "txt") == str(tmp_path / "a.png.txt")


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(InvalidOptionError, match=r"\.xlsx"):
        write_table(tmp_path / "t.xlsx", CAPTIONS)
    for write in (
        lambda: write_table(tmp_path / "none" / "t.csv", CAPTIONS),
        lambda: write_table(tmp_path / "none" / "t.parquet", CAPTIONS),
        lambda: write_sidecar(Caption(str(tmp_path / "none" / "a.png"), "d", "x"), "txt"),
        lambda: Report(tmp_path / "none" / "r.html"),
    ):
        with pytest.raises(MediaError, match="cannot be written"):
            write()


def test_the_report_shows_every_picture_beside_its_caption(tmp_path):
    good = Caption(draw(tmp_path / "a<b>.png", 0, (900, 300)), "d", "<script>x</script>")
    data = Caption(draw(tmp_path / "b.png", 1), "d", "{}", {"tags": ["<i>"]})
    with Report(tmp_path / "r.html") as report:
        for caption in (good, data, CAPTIONS[2]):
            report.add(caption)
        assert not (tmp_path / "r.html").exists()
    page = (tmp_path / "r.html").read_text("utf-8")
    assert page.count("<figure>") == 3
    assert len(re.findall(r'src="data:image/jpeg;base64,[A-Za-z0-9+/=]{300,}"', page)) == 2
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<i>" not in page
    assert "d.png: broken" in page
    assert "3 pictures, 1 failed" in page
