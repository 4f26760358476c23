"""Many pictures and videos through one model: decoded ahead, asked together, each on its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Protocol

from mullama_media.caption import storage
from mullama_media.caption.record import Caption
from mullama_media.engine.stream import Completion
from mullama_media.errors import EngineClosedError, MediaError, MullamaError
from mullama_media.multimodal import CaptionParams, MultimodalProcessor
from mullama_media.options import replace as changed
from mullama_media.vision import video
from mullama_media.vision.decode import read_bytes
from mullama_media.vision.fetch import fetch_bytes, is_url, short_name
from mullama_media.vision.load import load
from mullama_media.vision.params import PictureParams

__all__ = ["Captioner", "Memory"]

_AHEAD = 2  # pictures read and decoded beside those that are being answered


class Memory(Protocol):
    """What is known of pictures already; a `Journal` is one. Used by one thread at a time."""

    def find(self, path: str, digest: str) -> Caption | None:
        """The caption of the picture with these bytes at this path, if it has one."""

    def alike(self, digest: str) -> Caption | None:
        """A caption of a picture with these bytes, wherever it lies."""

    def add(self, caption: Caption) -> None:
        """Keep it."""


class Captioner:
    """Asks one question about many pictures and videos.

    Every picture, or video with all its frames, is one request of its own on the processor's
    engine, as many at once as it has sequences, while worker threads read and decode the next ones.
    A picture that fails says why and stops no other. Memory does not grow with the number of
    pictures.

    Args:
        processor: a model that sees. It stays open.
        params: the question.

    Raises:
        GrammarError: the schema holds something that cannot be kept.
        ModelCapabilityError: the model takes no pictures.
    """

    def __init__(self, processor: MultimodalProcessor, params: CaptionParams | None = None) -> None:
        self.processor = processor
        self.params = params or CaptionParams()
        self.params.ask_options()  # the schema is read before the first picture is
        self._watch = self.params.video
        media = processor.require("vision", "captions")
        if self._watch.sound is None and not media.audio:
            self._watch = changed(self._watch, sound=False)  # or every video would be told of

    @property
    def question(self) -> str:
        """Digest of everything a caption depends on besides the picture: for `Journal`."""
        asked = {
            name: value
            for name, value in asdict(self.params).items()
            if name not in ("timeout_s", "retries")
        }
        model, media = self.processor.model, self.processor.require("vision", "captions")
        pictures = self.processor.pictures
        seen = [sorted(asdict(options).items()) for options in (pictures.decode, pictures.fit)]
        budget = (media.params.image_min_tokens, media.params.image_max_tokens)
        known = [model.path.name, model.size_bytes, media.path.name, budget]
        known += [sorted(asked.items()), seen]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]

    def caption(self, path: str | os.PathLike[str]) -> Caption:
        """Caption one picture. Blocks; thread-safe; never raises for the picture's own faults."""
        return self._answer(_Work(os.fspath(path)))

    def run(
        self, paths: Iterable[str | os.PathLike[str]], journal: Memory | None = None
    ) -> Iterator[Caption]:
        """Captions as they are done, which is not quite the order of the paths.

        With a journal, what is in it is given again without asking the model, and what is new is in
        it before it is given here. Pictures with the same bytes are asked about once. Closing the
        iterator stops; what is running then is dropped.

        Raises:
            EngineClosedError: the processor was closed.
            What the iterable of paths raises.
        """
        run = _Run(self, journal)
        try:
            yield from run.results(iter(paths))
        finally:
            run.stop()

    def _answer(self, work: _Work) -> Caption:
        try:
            pictures = self.processor.pictures
            work.read(pictures)
            if work.is_video:
                shown: Any = video.Video(work.path, self._watch)
            else:
                shown = load(work.take_bytes(), pictures, name=work.name)
            completion = self.processor.caption(shown, self.params)
        except EngineClosedError:
            raise
        except MullamaError as error:
            return work.failed(error)
        return work.done(completion, completion.json() if self.params.schema else None)


class _Work:
    """One picture on its way."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = short_name(path) if is_url(path) else path
        self.digest = ""
        self.is_video = False
        self._bytes = b""
        self._began = time.perf_counter()

    def read(self, pictures: PictureParams) -> None:
        """Bytes and digest, unless they are here already."""
        if self.digest:
            return
        if is_url(self.path):
            self._bytes = fetch_bytes(self.path, pictures.fetch)
        elif storage.is_uri(self.path):
            self._bytes = storage.read(self.path)
        else:
            self.is_video = video.is_video(self.path)
            if self.is_video:  # it stays where it is: many of them would not fit memory
                self.digest = _digest_of(self.path)
                return
            self._bytes = read_bytes(self.path, pictures.decode.max_bytes)
        self.digest = hashlib.sha256(self._bytes).hexdigest()

    def take_bytes(self) -> bytes:
        data, self._bytes = self._bytes, b""
        return data

    def failed(self, error: MullamaError) -> Caption:
        said = str(error)
        return self._caption(error=said if self.name in said else f"{self.name}: {said}")

    def done(self, completion: Completion, data: object) -> Caption:
        text = completion.text.strip()
        return self._caption(text=text, data=data, finish_reason=completion.finish_reason)

    def like(self, other: Caption) -> Caption:
        """The caption of another picture with the same bytes."""
        return other.of_copy(self.path, self._spent())

    def _caption(self, **values: object) -> Caption:
        spent = self._spent()
        return Caption(path=self.path, digest=self.digest, milliseconds=spent, **values)  # type: ignore[arg-type]

    def _spent(self) -> float:
        return round(1000 * (time.perf_counter() - self._began), 1)


class _Run:
    """One pass over the pictures: workers take one each, results come out as they are done."""

    def __init__(self, captioner: Captioner, journal: Memory | None) -> None:
        self._captioner = captioner
        self._journal = journal
        self._lock = threading.Lock()  # over journal, running and stopped
        self._running: dict[str, list[_Work]] = {}  # by digest; those that wait for the first
        self._stopped = False
        self._done: queue.SimpleQueue[Caption | BaseException] = queue.SimpleQueue()

    def results(self, paths: Iterator[str | os.PathLike[str]]) -> Iterator[Caption]:
        parallel = self._captioner.processor.engine.params.n_parallel
        workers = parallel + _AHEAD
        with ThreadPoolExecutor(workers, "mullama-caption") as pool:
            try:
                waiting = 0
                for path in paths:
                    pool.submit(self._one, os.fspath(path))
                    waiting += 1
                    while waiting >= 2 * workers:
                        yield self._next()
                        waiting -= 1
                while waiting:
                    yield self._next()
                    waiting -= 1
            finally:
                self.stop()

    def stop(self) -> None:
        """Nothing new is begun."""
        with self._lock:
            self._stopped = True

    def _next(self) -> Caption:
        result = self._done.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def _one(self, path: str) -> None:
        """Puts one result for this path, now or when the picture it is a copy of is done."""
        if self._stopped:
            return
        work = _Work(path)
        try:
            with contextlib.suppress(MediaError):  # _answer will meet it again, and say it
                work.read(self._captioner.processor.pictures)
            if work.digest and not self._begin(work):
                return
            caption = self._captioner._answer(work)
            self._tell(work, caption)
        except BaseException as error:
            self._end(work, error)

    def _begin(self, work: _Work) -> bool:
        """Whether the model has to be asked."""
        with self._lock:
            if self._journal is not None:
                known = self._journal.find(work.path, work.digest)
                if known is not None:
                    self._done.put(known)
                    return False
                alike = self._journal.alike(work.digest)
                if alike is not None:
                    self._put(work.like(alike))
                    return False
            if work.digest in self._running:
                work.take_bytes()
                self._running[work.digest].append(work)
                return False
            self._running[work.digest] = []
            return True

    def _tell(self, work: _Work, caption: Caption) -> None:
        with self._lock:
            copies = self._running.pop(work.digest, [])
            for one in (caption, *(copy.like(caption) for copy in copies)):
                self._put(one)

    def _put(self, caption: Caption) -> None:
        if self._journal is not None and caption.error is None:
            self._journal.add(caption)
        self._done.put(caption)

    def _end(self, work: _Work, error: BaseException) -> None:
        with self._lock:
            copies = self._running.pop(work.digest, [])
        for _ in range(1 + len(copies)):
            self._done.put(error)


def _digest_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", where=path) from error
