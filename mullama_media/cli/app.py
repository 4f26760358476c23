"""The commands and their options. Each imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mullama_media.cli import app_convert, app_models, app_sound, app_vision, app_voice
from mullama_media.cli.arguments import VIDEO_FLAGS, MmprojName, ModelName
from mullama_media.cli.fields import Given, from_fields
from mullama_media.cli.pictures import picture_options
from mullama_media.engine.params import EngineParams, ModelParams
from mullama_media.engine.sampling import PRESETS, SamplingParams
from mullama_media.engine.stream import StreamConfig
from mullama_media.vision.params import VideoParams

__all__ = ["app"]

app = typer.Typer(
    name="mullama",
    help="Local models that read, see and hear, on llama.cpp.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
@from_fields("loading", ModelParams, "Model", {"gpu_layers": ("--gpu-layers", "-g")}, rest=False)
@from_fields(
    "engine",
    EngineParams,
    "Model",
    {"n_ctx": ("--context", "-c"), "threads": ("--threads",)},
    rest=False,
)
@from_fields("watching", VideoParams, "Video", VIDEO_FLAGS)
@from_fields(
    "sampling",
    SamplingParams,
    "Sampling",
    {"temperature": ("--temperature", "-t"), "logprobs": ()},
)
@from_fields(
    "config",
    StreamConfig,
    "Where the answer ends",
    {"max_tokens": ("--max-tokens", "-n"), "buffer_tokens": ()},
)
@picture_options
def run(
    model: ModelName,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="[PROMPT]",
            help="What to ask; from stdin if left out or '-'.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="FILE|URL",
            help="A picture: a file, a data: URL, or with --allow-url an http(s) URL. Repeatable.",
        ),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option("--audio", "-a", metavar="FILE", help="A recording. Repeatable."),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option("--video", "-v", metavar="FILE", help="A video. Repeatable."),
    ] = None,
    mmproj: MmprojName = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="System message.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Sampling to start from: {', '.join(PRESETS)}.",
            rich_help_panel="Sampling",
        ),
    ] = None,
    grammar: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The answer must match this GBNF grammar."),
    ] = None,
    json_schema: Annotated[
        str | None,
        typer.Option(metavar="FILE|JSON", help="The answer is JSON, valid under this schema."),
    ] = None,
    regex: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="The answer must match this expression.")
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on with the conversation in FILE, if it is there, and save it there with its "
            "KV cache, so that nothing is evaluated twice.",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="No chat template: the model continues PROMPT.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object with answer and timings.")
    ] = False,
    stats: Annotated[bool, typer.Option("--stats", help="Timings on stderr at the end.")] = False,
    *,
    sampling: Given,
    config: Given,
    engine: Given,
    loading: Given,
    media: Given,
    decoding: Given,
    fit: Given,
    fetching: Given,
    watching: Given,
) -> None:
    """Ask a model about text, pictures, videos and recordings.

    Tokens are printed as they come; Ctrl-C stops (exit status 130).

        mullama run tiny-omni "What is in the picture?" -i photo.png

        mullama run hf:ggml-org/SmolVLM-500M-Instruct-GGUF -i photo.jpg "Describe it."

        mullama run hf:ggml-org/Qwen2.5-Omni-3B-GGUF -v clip.mp4 --video-count 8 "What happens?"

        echo "Tell me a joke" | mullama run tiny-omni

        mullama run tiny-omni --session talk.state "And the other one?"

        mullama run tiny-omni "A city" --json-schema '{"type": "object", "properties": {...}}'
    """
    from mullama_media.cli import run as command
    from mullama_media.cli.pictures import as_content, picture_params

    command.run(
        model,
        prompt,
        [*as_content(image or []), *command.videos(video or [], watching), *(audio or [])],
        mmproj=mmproj,
        system=system,
        session=session,
        raw=raw,
        as_json=json,
        stats=stats,
        constraint={
            name: value
            for name, value in (
                ("grammar", grammar),
                ("json_schema", json_schema),
                ("regex", regex),
            )
            if value is not None
        },
        preset=preset,
        sampling=sampling,
        config=config,
        engine=engine,
        loading=loading,
        media_options=media,
        pictures=picture_params(decoding, fit, fetching),
    )


@app.command()
def pull(model: ModelName, mmproj: MmprojName = None) -> None:
    """Fetch a model into the cache, so that it loads without a network later.

    What is there already is not fetched again; an interrupted download goes on where it stopped.
    """
    from mullama_media.cli.progress import fetch

    files = fetch(model, mmproj)
    for file in (files.model, files.mmproj):
        if file is not None:
            typer.echo(file)


@app.command()
def info(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object.")] = False,
) -> None:
    """Show version, backends, devices with their memory, and CPU features in use."""
    from mullama_media.cli import info as command

    command.info(as_json=json)


@app.command()
def demo() -> None:
    """See it work: the built-in model answers about a picture and recordings.

    Fetches about 175 MB at first use.
    """
    from mullama_media.cli import demo as command

    command.demo()


app.add_typer(app_vision.app)
app.add_typer(app_models.app)
app.add_typer(app_convert.app)
app.add_typer(app_sound.app)
app.add_typer(app_voice.app)
