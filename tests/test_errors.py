"""The error tree: every class is one of ours and a built-in, and every native error has a class."""

import builtins
import inspect
import pickle
import re
from pathlib import Path

import pytest

from mullama_media import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]
BINDING = Path(__file__).parent.parent / "ext" / "bind" / "errors.cpp"


def test_all_is_complete_and_drawn_in_the_docstring():
    defined = {
        n for n, c in vars(errors).items() if inspect.isclass(c) and c.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    for name in defined:
        assert name in errors.__doc__


@pytest.mark.parametrize("cls", CLASSES)
def test_leaves_are_also_a_built_in(cls):
    assert issubclass(cls, errors.MullamaError)
    if not cls.__subclasses__():
        others = [base for base in cls.__mro__ if base.__module__ == builtins.__name__]
        assert set(others) - {Exception, BaseException, object}


@pytest.mark.parametrize("cls", CLASSES)
def test_it_carries_what_where_and_hint(cls, tmp_path):
    error = cls("it broke", where=tmp_path, hint="Mend it")
    assert str(error) == f"{tmp_path}: it broke. Mend it"
    assert str(cls("it broke")) == "it broke"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.what, copy.where, copy.hint) == (
        cls,
        "it broke",
        str(tmp_path),
        "Mend it",
    )


def test_every_native_code_has_a_class():
    header = (BINDING.parent.parent / "core" / "error.hpp").read_text()
    codes = re.findall(r"^    (\w+),$", header, re.M)
    mapped = dict(re.findall(r"case Errc::(\w+): return \"(\w+)\"", BINDING.read_text()))
    assert set(codes) == set(mapped)
    assert set(mapped.values()) <= set(errors.__all__)


def test_a_missing_extra_says_how_to_get_it():
    error = errors.MissingExtraError.of("reading pictures", "multimodal")
    assert isinstance(error, ImportError)
    assert "pip install 'mullama-media[multimodal]'" in str(error)
