"""Transcripts as subtitles: cut into cues that can be read, written as SRT or WebVTT.

Limits are those of the field (Netflix Timed Text Style Guide: two lines of 42 characters, 5/6 s to
7 s). A cue ends where a sentence does or the speaker pauses, before it ends where it is full; of
two lines the break is behind punctuation or near the middle.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mullama_media.options import option, options
from mullama_media.speech.transcript import Segment, Transcript, units

__all__ = ["Cue", "SubtitleParams", "cues", "srt", "vtt"]

_SENTENCE = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
_CLAUSE = (",", ";", ":", "-", "\u3001", "\uff0c")


@options
class SubtitleParams:
    """How transcripts are cut into subtitles."""

    max_chars: int = option(default=42, doc="Most characters of a line.", ge=8)
    max_lines: int = option(default=2, doc="Most lines of a subtitle.", ge=1, le=4)
    max_cue_ms: int = option(default=7000, doc="The longest a subtitle stands.", ge=500)
    min_cue_ms: int = option(
        default=833, doc="The shortest, where the next one does not come before.", ge=0
    )
    gap_ms: int = option(default=800, doc="A pause of the speaker that ends a subtitle.", ge=50)


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word on its way into a cue."""

    text: str
    start_s: float
    end_s: float


def cues(transcript: Transcript, params: SubtitleParams | None = None) -> list[Cue]:
    """Cut a transcript; cues follow each other and never overlap. Pure.

    Without word times a segment's time is dealt out by characters.
    """
    params = params or SubtitleParams()
    pieces = [piece for segment in transcript.segments for piece in _pieces(segment, params)]
    groups = list(_groups(pieces, params))
    made = []
    for n, group in enumerate(groups):
        start, end = group[0].start_s, group[-1].end_s
        if n + 1 < len(groups):
            following = groups[n + 1][0].start_s
            end = min(max(end, start + params.min_cue_ms / 1000), max(following, start))
        else:
            end = max(end, start + params.min_cue_ms / 1000)
        if end - start > params.max_cue_ms / 1000:
            end = start + params.max_cue_ms / 1000
        made.append(Cue(start, end, tuple(_lines(group, params))))
    return made


def srt(found: Sequence[Cue]) -> str:
    """SubRip."""
    blocks = (
        f"{n}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n" + "\n".join(cue.lines)
        for n, cue in enumerate(found, 1)
    )
    return "".join(f"{block}\n\n" for block in blocks)


def vtt(found: Sequence[Cue]) -> str:
    """WebVTT (W3C)."""
    blocks = (
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        for cue in found
    )
    return "WEBVTT\n\n" + "".join(f"{block}\n\n" for block in blocks)


def _clock(seconds: float, point: str) -> str:
    ms = round(1000 * seconds)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{point}{ms % 1000:03}"


def _pieces(segment: Segment, params: SubtitleParams) -> Iterator[_Piece]:
    """Words with times; one that no line can hold is cut."""
    if segment.words:
        timed = [_Piece(word.text, word.start_s, word.end_s) for word in segment.words]
    else:
        texts = units(segment.text)
        total = sum(map(len, texts))
        a_char = (segment.end_s - segment.start_s) / total if total else 0.0
        timed, at = [], segment.start_s
        for text in texts:
            timed.append(_Piece(text, at, at + a_char * len(text)))
            at += a_char * len(text)
    for n, piece in enumerate(timed):
        text = piece.text if n or piece.text[:1] == " " else f" {piece.text}"
        bare = text.strip()
        if len(bare) <= params.max_chars:
            yield _Piece(text, piece.start_s, piece.end_s)
            continue
        a_char = (piece.end_s - piece.start_s) / len(bare)
        for at in range(0, len(bare), params.max_chars):
            part = bare[at : at + params.max_chars]
            start = piece.start_s + at * a_char
            yield _Piece(part if at else f" {part}", start, start + len(part) * a_char)


def _groups(pieces: Sequence[_Piece], params: SubtitleParams) -> Iterator[list[_Piece]]:
    group: list[_Piece] = []
    for piece in pieces:
        if group and piece.start_s - group[-1].end_s >= params.gap_ms / 1000:
            yield group
            group = []
        while group and not _fits([*group, piece], params):
            cut = _best_cut(group)
            yield group[:cut]
            group = group[cut:]
        group.append(piece)
    if group:
        yield group


def _fits(group: Sequence[_Piece], params: SubtitleParams) -> bool:
    if group[-1].end_s - group[0].start_s > params.max_cue_ms / 1000:
        return False
    return len(_filled(group, params)) <= params.max_lines


def _best_cut(group: Sequence[_Piece]) -> int:
    """Behind the last sentence of a full cue, else the last clause in its second half, else all."""
    for marks, least in ((_SENTENCE, 1), (_CLAUSE, len(group) // 2)):
        for cut in range(len(group), max(least, 1) - 1, -1):
            if group[cut - 1].text.rstrip("\"')\u201d\u2019").endswith(marks):
                return cut
    return len(group)


def _filled(group: Sequence[_Piece], params: SubtitleParams) -> list[str]:
    """Lines as full as they get."""
    lines = [""]
    for piece in group:
        joined = (lines[-1] + piece.text).strip()
        if lines[-1] and len(joined) > params.max_chars:
            lines.append(piece.text.strip())
        else:
            lines[-1] = joined
    return lines


def _lines(group: Sequence[_Piece], params: SubtitleParams) -> list[str]:
    """Lines as they are shown: two of about one length, broken behind punctuation if need not be
    far from the middle for that.
    """
    filled = _filled(group, params)
    if len(filled) != 2:
        return filled

    def halves(cut: int) -> tuple[str, str]:
        first, second = (
            "".join(p.text for p in part).strip() for part in (group[:cut], group[cut:])
        )
        return first, second

    def cost(cut: int) -> float:
        first, second = halves(cut)
        if max(len(first), len(second)) > params.max_chars:
            return float("inf")
        return abs(len(first) - len(second)) - 10 * first.endswith(_SENTENCE + _CLAUSE)

    return list(halves(min(range(1, len(group)), key=cost)))
