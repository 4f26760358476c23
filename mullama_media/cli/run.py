"""`mullama run`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mullama_media.cli.conversation import Conversation
from mullama_media.cli.progress import console, fetch, loading
from mullama_media.engine import (
    Completion,
    EngineParams,
    Grammar,
    MediaParams,
    ModelParams,
    SamplingParams,
    StreamConfig,
    TokenStream,
)
from mullama_media.errors import InvalidOptionError
from mullama_media.multimodal import MultimodalProcessor
from mullama_media.options import from_mapping
from mullama_media.vision.params import PictureParams, VideoParams
from mullama_media.vision.video import Video

__all__ = ["open_processor", "run", "stats_line", "videos"]


def run(
    model: str,
    prompt: str | None,
    media: Sequence[Any],
    *,
    mmproj: str | None,
    system: str | None,
    session: Path | None,
    raw: bool,
    as_json: bool,
    stats: bool,
    preset: str | None,
    constraint: Mapping[str, Any],
    sampling: Mapping[str, Any],
    config: Mapping[str, Any],
    engine: Mapping[str, Any],
    loading: Mapping[str, Any],
    media_options: Mapping[str, Any],
    pictures: PictureParams,
) -> None:
    """Ask once. The mappings hold the options that were given on the command line."""
    sampling_params = (
        SamplingParams.preset(preset, **sampling)
        if preset
        else from_mapping(SamplingParams, sampling)
    )
    stream_config = from_mapping(StreamConfig, config)
    engine_params = from_mapping(EngineParams, {"n_parallel": 1, **engine})
    model_params = from_mapping(ModelParams, loading)
    media_params = from_mapping(MediaParams, media_options)
    grammar = _grammar(constraint)
    text = _prompt(prompt)
    with open_processor(
        model, mmproj, engine_params, model_params, media_params, pictures
    ) as processor:
        talk = Conversation()
        if session is not None and session.exists():
            talk = Conversation.load(session, processor.engine)
        talk.system = talk.system if system is None else system
        stream = processor.stream(
            talk.ask([*media, text]),
            system=talk.system,
            raw=raw,
            sampling=sampling_params,
            config=stream_config,
            grammar=grammar,
        )
        completion = stream.result() if as_json else _print(stream)
        if session is not None:
            talk.save(session, processor.engine, completion.text)
    if as_json:
        print(json.dumps(_as_dict(model, completion), ensure_ascii=False))  # noqa: T201
    if stats:
        console.print(stats_line(completion))


def videos(paths: Sequence[Path], given: Mapping[str, Any]) -> list[Video]:
    """Videos with the options that were given for them."""
    if given and not paths:
        name = next(iter(given)).removesuffix("_s").replace("_", "-")
        raise InvalidOptionError("there is no video", where=f"--video-{name}", hint="Give --video")
    params = from_mapping(VideoParams, given)
    return [Video(path, params) for path in paths]


def open_processor(
    model: str,
    mmproj: str | None,
    engine_params: EngineParams,
    model_params: ModelParams | None = None,
    media_params: MediaParams | None = None,
    pictures: PictureParams | None = None,
) -> MultimodalProcessor:
    """Fetch and load with progress bars."""
    files = fetch(model, mmproj)
    with loading(files.model.name) as progress:
        return MultimodalProcessor.load(
            files.model,
            mmproj=files.mmproj,
            model_params=model_params,
            media_params=media_params,
            engine_params=engine_params,
            pictures=pictures,
            progress=progress,
        )


def stats_line(completion: Completion) -> str:
    """Tokens and times in one line."""
    t = completion.timings
    reused = f" ({t.reused_tokens} reused)" if t.reused_tokens else ""
    encode = f", encoders {t.encode_ms:.0f} ms" if t.encode_ms else ""
    return (
        f"{t.prompt_tokens} prompt tokens{reused} at {t.prefill_rate:.0f}/s{encode}, "
        f"first token after {t.first_token_ms:.0f} ms, "
        f"{t.generated_tokens} tokens at {t.decode_rate:.1f}/s, ended by {completion.finish_reason}"
    )


def _grammar(constraint: Mapping[str, Any]) -> Grammar | None:
    """Of what was given on the command line: `grammar`, `json_schema` or `regex`."""
    if not constraint:
        return None
    if len(constraint) > 1:
        names = ", ".join("--" + name.replace("_", "-") for name in constraint)
        raise InvalidOptionError(f"only one of {names} can be given")
    if "regex" in constraint:
        return Grammar.regex(constraint["regex"])
    if "grammar" in constraint:
        return Grammar.gbnf(_read(Path(constraint["grammar"])))
    schema = constraint["json_schema"]
    inline = schema.lstrip().startswith(("{", "true", "false"))
    return Grammar.json_schema(schema if inline else _read(Path(schema)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidOptionError(f"cannot be read: {error.strerror}", where=path) from error


def _prompt(prompt: str | None) -> str:
    if prompt is not None and prompt != "-":
        return prompt
    if prompt is None and sys.stdin.isatty():
        raise InvalidOptionError("there is no prompt", hint="Give PROMPT or pipe it to stdin")
    text = sys.stdin.read().strip()
    if not text:
        raise InvalidOptionError("the prompt on stdin is empty")
    return text


def _print(stream: TokenStream) -> Completion:
    with stream:
        for token in stream:
            sys.stdout.write(token.text)
            sys.stdout.flush()
        sys.stdout.write("\n")
        return stream.result()


def _as_dict(model: str, completion: Completion) -> dict[str, Any]:
    return {
        "model": model,
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "stop_text": completion.stop_text,
        "timings": asdict(completion.timings),
    }
