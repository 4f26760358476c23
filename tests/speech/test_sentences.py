"""Where text is cut for speaking, whatever its tokens, and what is said of it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mullama_media.errors import InvalidOptionError
from mullama_media.speech import SentenceParams, SentenceSplitter, SpeakableParams, split_sentences
from mullama_media.speech.speakable import speakable

WHOLE = SentenceParams(first_clause_chars=0)


def said(text, params=WHOLE):
    return [piece.text for piece in split_sentences(text, params)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rains.", "It pours!", "Does it?", "Yes"],
        ["Dr. Smith met Mrs. Jones vs. Mr. X at 5 p.m. sharp.", "They left."],
        ["Pi is 3.14, version 2.0.1, at example.com or a.b@c.de.", "Good."],
        ["J. R. R. Tolkien lived in the U.K. Maybe.", "So do I.", "And you?"],
        ["Bring fruit, e.g. apples, i.e. the red ones, etc. and go.", "Now."],
        ["We met in 1999.", "Then came 2000.", "No. 5 is alive.", "No.", "It is not."],
        ["Well... it depends…", "But maybe."],
        ['He said: "Stop!" and "Why?" again.', '"Really?"', "“Yes.”", "(Or no.)", "Good."],
        ["What?!", "Never!!!", "Ok."],
        ["Das ist z. B. so, d.h. gut, ca. 5 km.", "Prof. Dr. Meier usw. kommen."],
        ["今天天气很好。", "我们去公园吧！", "他说：「好。」", "真的？", "对｡"],
        ["यह एक वाक्य है।", "दूसरा वाक्य॥"],
        ["هل هذا صحيح؟", "نعم."],
        ["no capitals here.", "but sentences."],
    ],
)
def test_sentences_end_where_they_do(sentences):
    joint = "" if sentences[0][0] > "\u2e80" else " "
    assert said(joint.join(sentences)) == sentences


def test_lines_end_sentences_only_where_they_mean_to():
    text = (
        "# Title\nA line\nthat goes on. And\nmore:\n- one\n- two. Three\n1. first\n2) second\n\n"
        "> quoted\n\nlast\n\nend"
    )
    assert said(text) == [
        "Title",
        "A line that goes on.",
        "And more:",
        "one",
        "two.",
        "Three",
        "1. first",
        "2) second",
        "quoted",
        "last",
        "end",
    ]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Bold**, *it*, __under__, ~~no~~ and `x = 1`", "Bold, it, under, no and x = 1"),
        ("2 * 3 = 6, snake_case and a*b", "2 * 3 = 6, snake case and ab"),
        ("[text](http://a.b/c(d)) ![alt](x.png) [r][1] f[^1]", "text alt r f"),
        ("see https://www.example.com/a?b=1. Or <http://x.org>", "see example.com. Or x.org"),
        ("| a | b |", "a, b"),
        ("- [x] done", "done"),
        ("Hi 😀 there 👩‍👩‍👧.", "Hi there."),
        ("<b>bold</b><br>next <!-- no -->", "bold next"),
        ("a < b and c > d", "a < b and c > d"),
        ("---", ""),
        ("|---|:-:|", ""),
        ("...", ""),
        ("😀", ""),
    ],
)
def test_markup_is_not_said(text, spoken):
    assert speakable(text)[0] == spoken


def test_code_and_addresses_as_wished():
    text = "Look:\n```python\nx = 1. Foo\n```\nat http://www.a.org/b?c."
    assert said(text) == ["Look:", "at a.org."]
    read = SpeakableParams(code="read", urls="read")
    assert said(text, WHOLE.with_speakable(read)) == [
        "Look:",
        "x = 1. Foo",
        "at http://www.a.org/b?c.",
    ]
    skip = SpeakableParams(urls="skip")
    assert said(text, WHOLE.with_speakable(skip)) == ["Look:", "at."]
    assert said("A.\n\n~~~\nnever closed. No") == ["A."]
    with pytest.raises(InvalidOptionError):
        SpeakableParams(code="sing")


def test_the_first_piece_may_end_at_a_clause():
    text = "When the rain began, they went home, all of them. Later, when it was over, they came."
    assert said(text, SentenceParams(first_clause_chars=10)) == [
        "When the rain began,",
        "they went home, all of them.",
        "Later, when it was over, they came.",
    ]
    assert len(said(text, SentenceParams(first_clause_chars=60))) == 2
    assert (
        said("1,000 and 2:30, yes.", SentenceParams(first_clause_chars=1))[0] == "1,000 and 2:30,"
    )
    assert said("今天很好，我们去。", SentenceParams(first_clause_chars=3)) == [
        "今天很好，",
        "我们去。",
    ]


def test_a_sentence_without_end_is_cut():
    words = "word " * 200
    pieces = said(words, WHOLE.with_max_chars(100))
    assert all(len(piece) <= 100 for piece in pieces)
    assert " ".join(pieces) == words.strip()
    clauses = "some words of it, " * 30
    assert all(piece.endswith(",") for piece in said(clauses, WHOLE.with_max_chars(100)))
    assert [len(piece) for piece in said("x" * 250, WHOLE.with_max_chars(100))] == [100, 100, 50]


TEXT = """# Results: an overview

Dr. Smith paid $3.14 for 1,000 items, i.e. a lot... He said "Really? Yes!" and left. Then
J. R. R. came. See https://www.example.com/a?x=1.2. No. 5 is alive. No.

- First item
- Second **bold** item with `code`
1. Do this.

```python
x = 1. Foo
```
| a | b |
|---|---|
| 1 | 2 |
今天天气很好。他说：「好。」Voilà… and on.\tOk…  Next
> quoted, at 5 p.m. We go
the end without stop"""


def stream(parts, params=None):
    splitter = SentenceSplitter(params)
    pieces = [piece for part in parts for piece in splitter.feed(part)]
    return pieces + splitter.flush()


def cut(text, rng, most):
    while text:
        n = rng.randint(1, most)
        yield text[:n]
        text = text[n:]


@pytest.mark.parametrize("params", [SentenceParams(), SentenceParams(max_chars=30), WHOLE])
def test_pieces_do_not_depend_on_tokens(params):
    whole = split_sentences(TEXT, params)
    assert len(whole) > 15
    for at in range(0, len(TEXT), 1 if params == WHOLE else 5):
        assert stream([TEXT[:at], TEXT[at:]], params) == whole
    assert stream(TEXT, params) == whole
    for seed in range(20):
        assert stream(cut(TEXT, random.Random(seed), 12), params) == whole


@settings(max_examples=200, deadline=None)
@given(
    st.text("aB1 .!?…\"'):,;-\n`~#*|>[]()。」，é", max_size=60), st.randoms(use_true_random=False)
)
def test_nothing_is_lost_or_said_twice(text, rng):
    params = SentenceParams(first_clause_chars=5, max_chars=25)
    whole = split_sentences(text, params)
    assert stream(cut(text, rng, 4), params) == whole
    assert stream(text, params) == whole
    at = 0
    for piece in whole:
        assert at <= piece.start < piece.end <= len(text)
        at = piece.end
        ends = [word.source_end for word in piece.words]
        assert ends == sorted(ends)
        assert piece.words[-1].end == len(piece.text)
        assert piece.start < ends[0] <= ends[-1] <= piece.end


def test_a_piece_comes_as_soon_as_it_is_whole():
    splitter = SentenceSplitter(WHOLE)
    assert splitter.feed("It rains.") == []  # 3.14, example.com
    assert [piece.text for piece in splitter.feed(" ")] == ["It rains."]
    assert splitter.feed("Dr. Who? ") != []
    assert splitter.feed("Etc. ") == []
    assert [piece.text for piece in splitter.feed("No")] == ["Etc."]
    assert [piece.text for piece in splitter.flush()] == ["No"]
    assert splitter.flush() == []
    assert [piece.start for piece in splitter.feed("New text. ")] == [0]


def test_words_know_where_they_were_written():
    text = "So **much** to [see here](http://x.y): `now`."
    (piece,) = split_sentences(text, WHOLE)
    assert piece.text == "So much to see here: now."
    heads = [text[: word.source_end] for word in piece.words]
    assert heads[:3] == ["So", "So **much**", "So **much** to"]
    assert heads[3] == "So **much** to [see"
    assert heads[-1] == text


def test_a_long_code_block_costs_no_more_than_its_length():
    splitter = SentenceSplitter()
    line = "x = 1\n"
    splitter.feed("```\n")
    for _ in range(20_000):  # would be 2.4 GB to look through, if each token looked at all of it
        assert splitter.feed(line) == []
    assert [piece.text for piece in splitter.feed("```\nDone. ")] == ["Done."]
