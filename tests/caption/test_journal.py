"""The journal survives whatever happens to the process that writes it."""

import pytest

from mullama_media.caption import Caption, Journal
from mullama_media.errors import InvalidOptionError

ONE = Caption("a.png", "d1", "eine Möwe", finish_reason="stop", milliseconds=1.5)
TWO = Caption("b.png", "d2", "", {"tags": ["x", "\u2028"]}, "length")


def test_what_was_written_is_found_again(tmp_path):
    with Journal(tmp_path / "j", "q") as journal:
        journal.add(ONE)
        journal.add(TWO)
    with Journal(tmp_path / "j", "q") as journal:
        assert len(journal) == 2
        assert journal.find("a.png", "d1") == ONE
        assert journal.find("b.png", "d2") == TWO
        assert journal.find("a.png", "changed") is None
        assert journal.alike("d2") == TWO
        assert journal.alike("d3") is None


def test_another_question_is_asked_anew(tmp_path):
    with Journal(tmp_path / "j", "q") as journal:
        journal.add(ONE)
    with Journal(tmp_path / "j", "other") as journal:
        assert journal.find("a.png", "d1") is None
        journal.add(TWO)
    with Journal(tmp_path / "j", "q") as journal:
        assert journal.find("a.png", "d1") == ONE
        assert journal.find("b.png", "d2") is None


def test_a_line_cut_anywhere_costs_that_line_alone(tmp_path):
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.add(ONE)
        journal.add(TWO)
    data = path.read_bytes()
    first = data.index(b"\n") + 1
    for cut in range(first, len(data)):
        path.write_bytes(data[:cut])
        with Journal(path) as journal:
            assert journal.find("a.png", "d1") == ONE
            assert journal.find("b.png", "d2") is None
            journal.add(TWO)
        assert path.read_bytes() == data


def test_one_process_at_a_time(tmp_path):
    with Journal(tmp_path / "j"), pytest.raises(InvalidOptionError, match="another process"):
        Journal(tmp_path / "j")
    Journal(tmp_path / "j").close()


@pytest.mark.parametrize("line", [b"{}\n", b"not json\n", b'{"question": "", "caption": []}\n'])
def test_what_is_no_journal_is_left_alone(tmp_path, line):
    (tmp_path / "j").write_bytes(line + b"more")
    with pytest.raises(InvalidOptionError, match=r"j:1: it is no journal"):
        Journal(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == line + b"more"
    with pytest.raises(InvalidOptionError, match="cannot be written"):
        Journal(tmp_path / "none" / "j")
