"""The part of an engine that embeds and scores."""

from __future__ import annotations

import abc
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from mullama_media.engine.adapters import AdapterSet
from mullama_media.engine.bells import Bells
from mullama_media.engine.embedding import (
    Embedding,
    EmbeddingJob,
    EmbeddingParams,
    Score,
    ScoreParams,
)
from mullama_media.engine.model import Model
from mullama_media.engine.native import core
from mullama_media.engine.prompt import Prompt
from mullama_media.engine.stream import Timings
from mullama_media.errors import InvalidOptionError, MullamaError

__all__ = ["Embedder"]

T = TypeVar("T")


class Embedder(abc.ABC):
    """What `Engine` does beside generating; not made by itself."""

    model: Model
    _bells: Bells
    _native: Any

    @abc.abstractmethod
    def _begin(self, start: Callable[[], T], *, here: bool) -> concurrent.futures.Future[T]: ...

    @property
    def pooling(self) -> str:
        """What its embeddings are made of, as in `EngineParams`; never "model"."""
        return str(self._native.pooling)

    @property
    def max_embedding_tokens(self) -> int:
        """Tokens of the longest text it embeds or scores."""
        return int(self._native.max_embedding_tokens)

    @overload
    def embed(  # type: ignore[overload-overlap]
        self,
        prompts: str | Prompt,
        params: EmbeddingParams | None = None,
        *,
        adapters: AdapterSet | None = None,
    ) -> EmbeddingJob[Embedding]: ...

    @overload
    def embed(
        self,
        prompts: Sequence[str | Prompt],
        params: EmbeddingParams | None = None,
        *,
        adapters: AdapterSet | None = None,
    ) -> EmbeddingJob[list[Embedding]]: ...

    def embed(
        self,
        prompts: str | Prompt | Sequence[str | Prompt],
        params: EmbeddingParams | None = None,
        *,
        adapters: AdapterSet | None = None,
    ) -> EmbeddingJob[Embedding] | EmbeddingJob[list[Embedding]]:
        """Queue texts to be embedded, each a request of its own: all of them or none.

        Texts share evaluations, with each other and with running answers, and short ones do not
        wait for long ones. Texts are tokenised here, or, inside a running event loop, on a worker
        thread; errors then appear where the job is read.

        Args:
            prompts: one text, or many for a list of embeddings in the same order. A text gets the
                special tokens the model wants; control tokens in it are plain text. A `Prompt` is
                taken as it is, and may hold media if the model is a decoder.
            params: what is made of them.
            adapters: as in `submit`.

        Raises:
            InvalidOptionError: an empty text, `dimensions` the model does not have, or an engine
                made without `pooling` or for scores.
            ContextOverflowError: a text of more than `max_embedding_tokens`, by its place.
            OverloadedError: they do not fit the queue.
            ModelCapabilityError: media for an encoder of text.
            EngineClosedError: the engine was closed.
        """
        params = params or EmbeddingParams()
        single = isinstance(prompts, str | Prompt)
        items = [prompts] if isinstance(prompts, str | Prompt) else list(prompts)
        per_token = (params.pooling or self.pooling) == "none"
        changes = adapters.native if adapters else None

        def start() -> list[Any]:
            natives = _texts_of(self.model, items, "prompts")
            return list(self._native.embed(natives, params, changes))

        def finish(terminals: list[Any]) -> Any:
            made = _embeddings_of(terminals, per_token)
            return made[0] if single else made

        begun = self._begin(start, here=all(isinstance(item, Prompt) for item in items))
        return EmbeddingJob(begun, self._bells, finish)

    @overload
    def score(  # type: ignore[overload-overlap]
        self,
        query: str | None,
        documents: str,
        params: ScoreParams | None = None,
        *,
        adapters: AdapterSet | None = None,
    ) -> EmbeddingJob[Score]: ...

    @overload
    def score(
        self,
        query: str | None,
        documents: Sequence[str],
        params: ScoreParams | None = None,
        *,
        adapters: AdapterSet | None = None,
    ) -> EmbeddingJob[list[Score]]: ...

    def score(
        self,
        query: str | None,
        documents: str | Sequence[str],
        params: ScoreParams | None = None,
        *,
        adapters: AdapterSet | None = None,
    ) -> EmbeddingJob[Score] | EmbeddingJob[list[Score]]:
        """Queue texts to be judged by a reranker or classifier, as `embed` queues them.

        The engine must be made with `pooling="rank"`.

        Args:
            query: what the documents are to answer; None for a classifier of single texts. How the
                pair is written is up to the model's file: its template "rerank", or its special
                tokens around both.
            documents: one, or many for a list of scores in the same order.
            params: what happens to long ones.
            adapters: as in `submit`.

        Raises:
            As `embed`.
        """
        params = params or ScoreParams()
        single = isinstance(documents, str)
        items = [documents] if isinstance(documents, str) else list(documents)
        changes = adapters.native if adapters else None

        def start() -> list[Any]:
            limit = self.max_embedding_tokens if params.truncate else 0
            natives = (
                _texts_of(self.model, items, "documents")
                if query is None
                else _pairs_of(self.model, query, items, limit)
            )
            return list(self._native.score(natives, params, changes))

        def finish(terminals: list[Any]) -> Any:
            made = _scores_of(terminals, self.model.labels)
            return made[0] if single else made

        return EmbeddingJob(self._begin(start, here=False), self._bells, finish)


def _texts_of(model: Model, items: Sequence[str | Prompt], where: str) -> list[Any]:
    """Native prompts of texts. Raises InvalidOptionError for an empty one."""
    n_special = len(model.tokenize("", add_special=True))
    prompts = []
    for i, item in enumerate(items):
        if isinstance(item, Prompt):
            prompts.append(item._native)
            continue
        made = Prompt.of_parts(model, [item]) if item else None
        if made is None or made.n_tokens <= n_special:
            raise InvalidOptionError(
                "there is no text", where=f"{where}[{i}]", hint="Leave it out, or give it some text"
            )
        prompts.append(made._native)
    return prompts


def _pairs_of(model: Model, query: str, documents: Sequence[str], limit: int) -> list[Any]:
    """Native prompts of a query with each document, cut to `limit` tokens unless that is 0."""
    prompts = []
    for i, document in enumerate(documents):
        try:
            prompts.append(core().prompt_of_pair(model._native, query, document, limit))
        except MullamaError as error:
            where = f"documents[{i}]" if error.where == "document" else error.where
            raise type(error)(error.what, where=where, hint=error.hint) from error
    return prompts


def _embeddings_of(terminals: list[Any], per_token: bool) -> list[Embedding]:
    """What the engine made of texts."""
    made = []
    for terminal in terminals:
        native = terminal.embedding
        values = native.values.reshape(native.rows, native.width)
        timings = Timings.of(terminal.timings)
        made.append(Embedding(values if per_token else values[0], native.tokens, timings))
    return made


def _scores_of(terminals: list[Any], labels: tuple[str, ...]) -> list[Score]:
    """What the engine made of pairs."""
    return [
        Score(t.embedding.values, labels, t.embedding.tokens, Timings.of(t.timings))
        for t in terminals
    ]
