"""Write the scores that ``evaluate.py`` measured into the model card, as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks import COLOURS, DIGITS, SHAPES

HERE = Path(__file__).parent
CARD, SCORES = HERE / "MODEL_CARD.md", HERE / "scores.json"
BEGIN, END = "<!-- scores: written by card.py -->\n", "<!-- end of scores -->\n"


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def percent(value: float | None) -> str:
    """A share as whole percent; nothing where there is no value."""
    return "" if value is None else f"{100 * value:.0f} %"


def counts(answers: dict[str, int]) -> str:
    """Answers and how often each was given, commonest first."""
    ordered = sorted(answers.items(), key=lambda pair: -pair[1])
    return ", ".join(f"“{answer}” {count} times" for answer, count in ordered)


def speech_tables(scores: dict[str, Any], human: dict[str, Any] | None) -> str:
    """Scores by voice, and the digits' confusion table."""
    voices = dict(scores["voices"]) | ({} if human is None else human["voices"])
    rows = [
        [name, percent(v.get("digits")), percent(v.get("commands"))] for name, v in voices.items()
    ]
    means = [
        sum(v[kind] for v in scores["voices"].values()) / len(scores["voices"])
        for kind in ("digits", "commands")
    ]
    rows.append(["**mean of the synthetic voices**", *map(percent, means)])
    return (
        table(["held-out voice", "digits", "commands"], rows)
        + "\nDigits said (rows) and answered (columns), synthetic held-out voices:\n\n"
        + confusion(DIGITS, scores["digit_confusion"])
    )


def scene_tables(one: dict[str, Any], two: dict[str, Any]) -> str:
    """Scores by number of shapes, and what was taken for what."""
    rows = [
        ["one shape", one["count"], percent(one["exact"])],
        ["two shapes", two["count"], percent(two["exact"])],
    ]
    return (
        table(["scenes", "pictures", "whole answer right"], rows)
        + "\nShapes drawn (rows) and answered (columns), one and two to a scene:\n\n"
        + confusion(SHAPES, one["shape_confusion"], two["shape_confusion"])
        + "\nColours drawn and answered:\n\n"
        + confusion(tuple(COLOURS), one["colour_confusion"], two["colour_confusion"])
    )


def confusion(words: tuple[str, ...], *counted: dict[str, dict[str, int]]) -> str:
    """One table of what was there against what was answered, and how often the word was right."""
    rows = []
    for word in words:
        sums = [sum(c[word].get(got, 0) for c in counted) for got in (*words, "other")]
        right = sums[words.index(word)] / max(sum(sums), 1)
        rows.append([word, *(n or "" for n in sums), percent(right)])
    return table(["", *words, "other", "right"], rows)


def render(scores: dict[str, Any]) -> str:
    """All tables of the card."""
    both, shuffled = scores["both"], scores["shuffled"]
    rows = [
        ["recordings without speech", counts(scores["silence"])],
        ["pictures without shapes", counts(scores["blank_pictures"])],
        ["digits, recordings swapped (chance 10 %)", percent(shuffled["digits"])],
        ["one shape, pictures swapped (chance 2.5 %)", percent(shuffled["shapes"])],
        ["one shape, wordings never trained", percent(scores["new_wordings_scenes"])],
        ["picture and recording together, whole answer", percent(both["exact"])],
        ["… its picture half", percent(both["scene"])],
        ["… its speech half", percent(both["speech"])],
    ]
    if folder := scores.get("captions"):
        through = f"{folder['count']} scenes through `mullama caption`"
        rows.append([f"{through}, “What is in the picture?”", percent(folder["asked"])])
        rows.append(["… with its default prompt", percent(folder["default"])])
    return (
        f"{speech_tables(scores['speech'], scores.get('human'))}\n"
        f"{scene_tables(scores['one_shape'], scores['two_shapes'])}\n"
        f"{table(['check', 'result'], rows)}"
    )


def main() -> None:
    """Replace the part of the card between the two marks."""
    before, _, rest = CARD.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    CARD.write_text(
        before + BEGIN + "\n" + render(json.loads(SCORES.read_text())) + "\n" + END + after
    )


if __name__ == "__main__":
    main()
