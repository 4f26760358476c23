"""Language models and the encoders that go with them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mullama_media.engine.native import core
from mullama_media.engine.params import MediaParams, ModelParams
from mullama_media.errors import InvalidOptionError, ModelLoadError
from mullama_media.options import is_unicode

__all__ = ["Media", "Model", "TensorInfo"]

Progress = Callable[[float], None]
_POLL_S = 0.05


_KINDS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "bool": lambda text: text == "true",
    "str": str,
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a model."""

    name: str
    shape: tuple[int, ...]
    """Row length first"""
    type: str
    """f32, q4_K and so on"""
    size: int
    """Bytes"""


class Model:
    """A language model in memory. Immutable, so every method is thread-safe.

    Memory is freed when the last `Engine` and the last reference are gone.
    """

    def __init__(self, native: Any, params: ModelParams | None = None) -> None:
        self._native = native
        self._params = params or ModelParams()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        params: ModelParams | None = None,
        *,
        progress: Progress | None = None,
    ) -> Model:
        """Load a GGUF file.

        Blocks for as long as the disk takes, with the GIL released. Ctrl-C stops it.

        Args:
            path: the .gguf file (the first one of a split model).
            params: how to load it.
            progress: called on this thread with the fraction loaded, 0 to 1, some 20 times a
                second.

        Raises:
            ModelLoadError: the file is missing, truncated, of an unknown architecture or not a
                language model. The process survives files that are hostile.
        """
        native = core()
        watch = native.LoadProgress()
        with concurrent.futures.ThreadPoolExecutor(1, "mullama-load") as pool:
            loading = pool.submit(
                native.Model.load, os.fspath(path), params or ModelParams(), watch
            )
            try:
                while not concurrent.futures.wait([loading], _POLL_S).done:
                    if progress:
                        progress(watch.fraction)
            except BaseException:
                watch.cancel()
                raise
            model = cls(loading.result(), params)
        if progress:
            progress(1.0)
        return model

    @classmethod
    async def load_async(
        cls, path: str | os.PathLike[str], params: ModelParams | None = None
    ) -> Model:
        """`load` without blocking the event loop; cancelling the task cancels the load."""
        native = core()
        watch = native.LoadProgress()
        try:
            return cls(
                await asyncio.to_thread(
                    native.Model.load, os.fspath(path), params or ModelParams(), watch
                ),
                params,
            )
        except asyncio.CancelledError:
            watch.cancel()
            raise

    @property
    def path(self) -> Path:
        """The file it was loaded from."""
        return Path(self._native.path)

    @property
    def description(self) -> str:
        """Architecture, size and type in a few words."""
        return str(self._native.description)

    @functools.cached_property
    def metadata(self) -> Mapping[str, Any]:
        """Every metadata field of the file: str, int, float, bool, or a list of these.

        Read from the file when first asked for, with `metadata_overrides` in place. Raises
        ModelLoadError if the file is gone by then.
        """
        fields = dict(self._native.file_metadata())
        for rule in self._params.metadata_overrides:
            key, _, typed = rule.partition("=")
            kind, _, value = typed.partition(":")
            fields[key] = _KINDS[kind](value)
        return fields

    @functools.cached_property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Its tensors, in the order of the file; none for a vocabulary alone."""
        return tuple(
            TensorInfo(name, tuple(shape), kind, size)
            for name, shape, kind, size in self._native.tensors()
        )

    @property
    def n_params(self) -> int:
        """Number of parameters."""
        return int(self._native.n_params)

    @property
    def size_bytes(self) -> int:
        """Size of the weights in bytes."""
        return int(self._native.size_bytes)

    @property
    def n_ctx_train(self) -> int:
        """Context length it was trained for, in tokens."""
        return int(self._native.n_ctx_train)

    @property
    def n_vocab(self) -> int:
        """Number of tokens in the vocabulary."""
        return int(self._native.n_vocab)

    @property
    def n_embd(self) -> int:
        """Width of one input row, in floats."""
        return int(self._native.n_embd)

    @property
    def n_embd_out(self) -> int:
        """Width of an embedding, in floats."""
        return int(self._native.n_embd_out)

    @property
    def labels(self) -> tuple[str, ...]:
        """What its scores stand for, if it scores; numbers where its file has no names."""
        named = tuple(self._native.labels)
        return named or tuple(str(i) for i in range(self._native.n_cls_out))

    @property
    def chat_template(self) -> str | None:
        """The Jinja source of its chat template, if it carries a usable one."""
        source: str | None = self._native.chat_template
        return source

    def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> list[int]:
        """Text to token ids.

        Args:
            text: any text.
            add_special: add the tokens the model wants at the start and end.
            parse_special: read control tokens such as `<|im_end|>` in the text as such. Leave it
                off for text from outside.

        Raises:
            InvalidOptionError: half of a surrogate pair, which is no character.
        """
        if not is_unicode(text):
            raise InvalidOptionError("half of a surrogate pair is not a character", where="text")
        return list(self._native.tokenize(text, add_special, parse_special))

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """Token ids to text; malformed UTF-8 becomes U+FFFD. `special` shows control tokens."""
        for token in tokens:
            self._check(token)
        text: bytes = self._native.detokenize(list(tokens), special)
        return text.decode("utf-8", "replace")

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; they may end inside a character."""
        self._check(token)
        piece: bytes = self._native.piece(token, special)
        return piece

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""
        self._check(token)
        return bool(self._native.is_eog(token))

    def _check(self, token: int) -> None:
        if not 0 <= token < self.n_vocab:
            raise IndexError(f"token {token} is not in the vocabulary of {self.n_vocab}")

    def __repr__(self) -> str:
        return f"<Model {self.description} from {self.path.name}>"


class Media:
    """The vision and audio encoders of an mmproj file. Thread-safe; encoding is serialised."""

    def __init__(self, native: Any, params: MediaParams) -> None:
        self._native = native
        self.params = params

    @classmethod
    def load(
        cls, model: Model, path: str | os.PathLike[str], params: MediaParams | None = None
    ) -> Media:
        """Load the mmproj that belongs to `model`. Blocks, with the GIL released.

        Raises:
            ModelLoadError: the file is broken, or its width or layers do not fit the model.
        """
        if not Path(path).exists():
            raise ModelLoadError("there is no such file", where=path)
        params = params or MediaParams()
        return cls(core().Media.load(model._native, os.fspath(path), params), params)

    @property
    def path(self) -> Path:
        """The file it was loaded from."""
        return Path(self._native.path)

    @property
    def vision(self) -> bool:
        """Whether it takes pictures."""
        return bool(self._native.vision)

    @property
    def audio(self) -> bool:
        """Whether it takes recordings."""
        return bool(self._native.audio)

    @property
    def sample_rate(self) -> int:
        """Rate in Hz that recordings must have; 0 without audio."""
        return int(self._native.sample_rate)

    def __repr__(self) -> str:
        kinds = [kind for kind, has in (("vision", self.vision), ("audio", self.audio)) if has]
        return f"<Media {' and '.join(kinds)} from {self.path.name}>"
