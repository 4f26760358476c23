"""Captions as files: one beside each picture, or one table of all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO
from xml.etree import ElementTree

from mullama_media.caption import storage
from mullama_media.caption.record import Caption
from mullama_media.errors import InvalidOptionError, MediaError, MissingExtraError
from mullama_media.vision.fetch import is_url, short_name
from mullama_media.vision.formats import SUFFIXES

__all__ = ["SIDECARS", "TABLES", "check_table", "sidecar_path", "write_sidecar", "write_table"]

SIDECARS = ("txt", "json", "xmp")
"""Kinds of files beside a picture"""
TABLES = (".jsonl", ".csv", ".parquet")
"""Endings of tables"""

_ROW_GROUP = 10_000  # of a Parquet file; held in memory

_COLUMNS = (
    "path",
    "text",
    "data",
    "finish_reason",
    "duplicate_of",
    "digest",
    "milliseconds",
    "error",
)


def sidecar_path(picture: str, kind: str) -> str:
    """`photo.txt` for `photo.jpg`; `photo.jpg.txt` where a `photo.png` lies beside it.

    The same beside a picture in an object store.
    """
    others = SUFFIXES - {storage.suffix(picture)}
    if storage.exist([_ending(picture, other) for other in others]):
        return storage.renamed(picture, lambda path: f"{path}.{kind}")
    return _ending(picture, f".{kind}")


def _ending(picture: str, suffix: str) -> str:
    return storage.renamed(picture, lambda path: os.path.splitext(path)[0] + suffix)


def write_sidecar(caption: Caption, kind: str) -> str:
    """Write the caption beside its picture, in one piece. Raises MediaError."""
    if is_url(caption.path):
        raise MediaError("a URL has no folder for a file beside it", where=short_name(caption.path))
    target = sidecar_path(caption.path, kind)
    storage.write(target, _sidecar(caption, kind).encode(errors="backslashreplace"))
    return target


def _sidecar(caption: Caption, kind: str) -> str:
    if kind == "json":
        return json.dumps(caption.as_dict(), ensure_ascii=False, indent=2) + "\n"
    if kind == "xmp":
        return _xmp(caption.text)
    return caption.text + "\n"


def _xmp(text: str) -> str:
    """An XMP packet with dc:description, as photo software reads it (ISO 16684-1)."""
    rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    spaces = {"x": "adobe:ns:meta/", "rdf": rdf, "dc": "http://purl.org/dc/elements/1.1/"}
    for prefix, uri in spaces.items():
        ElementTree.register_namespace(prefix, uri)
    meta = ElementTree.Element(f"{{{spaces['x']}}}xmpmeta")
    description = ElementTree.SubElement(
        ElementTree.SubElement(meta, f"{{{rdf}}}RDF"), f"{{{rdf}}}Description"
    )
    description.set(f"{{{rdf}}}about", "")
    said = ElementTree.SubElement(description, f"{{{spaces['dc']}}}description")
    item = ElementTree.SubElement(ElementTree.SubElement(said, f"{{{rdf}}}Alt"), f"{{{rdf}}}li")
    item.set("{http://www.w3.org/XML/1998/namespace}lang", "x-default")
    item.text = "".join(c for c in text if c.isprintable() or c in "\t\n")
    return ElementTree.tostring(meta, encoding="unicode") + "\n"


def check_table(path: Path) -> str:
    """The ending of a table that can be written. Raises what `write_table` does for others."""
    kind = path.suffix.lower()
    if kind not in TABLES:
        raise InvalidOptionError(
            f"no table is known for the ending {kind!r}",
            where=path,
            hint=f"Endings are {', '.join(TABLES)}",
        )
    if kind == ".parquet":
        _pyarrow()
    return kind


def write_table(path: str | os.PathLike[str], captions: Iterable[Caption]) -> None:
    """Write all captions, in one piece; the ending says how (`TABLES`).

    Raises:
        InvalidOptionError: another ending.
        MissingExtraError: Parquet needs pyarrow.
        MediaError: the file cannot be written.
    """
    target = Path(path)
    kind = check_table(target)
    if kind == ".parquet":
        _parquet(target, captions)
    elif kind == ".csv":
        _in_one_piece(target, lambda file: _csv(file, captions), newline="")
    else:
        _in_one_piece(target, lambda file: _jsonl(file, captions))


def _jsonl(file: TextIO, captions: Iterable[Caption]) -> None:
    for caption in captions:
        file.write(json.dumps(caption.as_dict(), ensure_ascii=False) + "\n")


def _csv(file: TextIO, captions: Iterable[Caption]) -> None:
    table = csv.DictWriter(file, _COLUMNS)
    table.writeheader()
    table.writerows(map(_row, captions))


def _parquet(target: Path, captions: Iterable[Caption]) -> None:
    pyarrow = _pyarrow()
    kinds = {name: pyarrow.string() for name in _COLUMNS} | {"milliseconds": pyarrow.float64()}
    schema = pyarrow.schema(list(kinds.items()))
    part = target.with_name(f".{target.name}.part")
    rows = map(_row, captions)
    try:
        with pyarrow.parquet.ParquetWriter(part, schema) as file:
            while group := list(islice(rows, _ROW_GROUP)):
                file.write_table(pyarrow.Table.from_pylist(group, schema=schema))
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MediaError(f"cannot be written: {error}", where=str(target)) from error


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError.of("Parquet files", "parquet") from error
    return pyarrow  # type: ignore[no-any-return, unused-ignore]


def _row(caption: Caption) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(caption, name) for name in _COLUMNS}
    if row["data"] is not None:
        row["data"] = json.dumps(row["data"], ensure_ascii=False)
    for name in ("path", "duplicate_of", "error"):  # of a file whose name is no UTF-8
        if row[name] is not None:
            row[name] = row[name].encode(errors="backslashreplace").decode()
    return row


def _in_one_piece(
    target: Path, write: Callable[[TextIO], object], newline: str | None = None
) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline=newline) as file:
            write(file)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MediaError(f"cannot be written: {error.strerror}", where=str(target)) from error
