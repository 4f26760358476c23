"""Caption pictures as a TOML file says: python pipelines/caption_batch.py [CONFIG] [PICTURE ...]

Composition only: each table of the file is an options class of the package, each key one of its
fields. Run again, it goes on where it was stopped. The exit status is 1 if a picture failed.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing
from pathlib import Path

from mullama_media import EngineParams, MediaParams, ModelParams, MultimodalProcessor
from mullama_media.caption import Captioner, CaptionParams, Journal, Results, find
from mullama_media.caption.outputs import check_table, write_sidecar, write_table
from mullama_media.caption.report import Report
from mullama_media.errors import MullamaError
from mullama_media.options import load_toml, option, options

CONFIG = Path(__file__).parent.parent / "configs" / "caption_batch.toml"


@options
class Batch:
    """Which pictures, which model, and where captions go."""

    pictures: tuple[str, ...] = option(default=(), doc="Files, folders, patterns and URIs.")
    recursive: bool = option(default=False, doc="Folders within folders, too.")
    model: str = option(default="tiny-omni", doc="Name of a model that sees.")
    mmproj: str | None = option(default=None, doc="Its encoders, where its name lacks them.")
    table: str = option(default="captions.jsonl", doc="A .jsonl, .csv or .parquet file.")
    sidecar: str | None = option(
        default=None, doc="Kind of a file beside each picture.", choices=("txt", "json", "xmp")
    )
    report: str | None = option(default=None, doc="A page with every picture and its caption.")


TABLES = {
    "batch": Batch,
    "caption": CaptionParams,
    "engine": EngineParams,
    "model": ModelParams,
    "media": MediaParams,
}


def main(config: Path, pictures: list[str]) -> int:
    """Caption; returns how many pictures failed."""
    batch, asked, engine, model, media = load_toml(config, TABLES).values()
    table = Path(batch.table)
    check_table(table)
    with ExitStack() as stack:
        names = find(pictures or batch.pictures, recursive=batch.recursive)
        results = stack.enter_context(closing(Results(names)))
        processor = stack.enter_context(
            MultimodalProcessor.load(
                batch.model,
                mmproj=batch.mmproj,
                model_params=model,
                media_params=media,
                engine_params=engine,
            )
        )
        captioner = Captioner(processor, asked)
        journal = stack.enter_context(Journal(f"{table}.journal", captioner.question))
        for caption in captioner.run(results.paths(), journal):
            results.add(caption)
            print(f"{caption.path}: {caption.error or caption.text}")
            if batch.sidecar is not None and caption.error is None:
                write_sidecar(caption, batch.sidecar)
        write_table(table, results.captions())
        if batch.report is not None:
            with Report(batch.report) as report:
                for caption in results.captions():
                    report.add(caption)
        return results.failed


if __name__ == "__main__":
    given = sys.argv[1:]
    config = Path(given.pop(0)) if given and given[0].endswith(".toml") else CONFIG
    try:
        sys.exit(1 if main(config, given) else 0)
    except MullamaError as error:
        sys.exit(f"error: {error}")
