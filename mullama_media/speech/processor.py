"""From a source to utterances, as they are spoken."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from mullama_media.audio.chain import Chain, Metrics
from mullama_media.audio.config import AudioStreamConfig
from mullama_media.audio.resample import map_index
from mullama_media.errors import AudioDeviceError
from mullama_media.frames import (
    AudioChunk,
    DeviceChange,
    Discontinuity,
    Source,
    SourceItem,
    SpeechEvent,
    Utterance,
    Vad,
)
from mullama_media.speech.mailbox import Mailbox

__all__ = ["StreamEvent", "StreamMetrics", "StreamingAudioProcessor"]

StreamEvent: TypeAlias = SpeechEvent | DeviceChange
"""What a stream tells: of speech, of lost samples, of the device."""

_LOOK_MS = 100  # how long a silent source is waited for before the watchdog is told


@dataclass(frozen=True, slots=True)
class StreamMetrics:
    """What a stream has done so far, and how it sounds now."""

    chunks: int
    """Pieces that came from the source"""
    samples: int
    """Frames in them"""
    lost: int
    """Frames that never came, as far as they can be counted"""
    gaps: int
    """Times that some were lost"""
    utterances: int
    waiting: int
    """Events nobody has read yet"""
    latency_ms: float
    """Mean time from having a chunk to having told what is in it"""
    latency_max_ms: float
    delay_ms: float
    """The most time that samples wait inside the stages, by design"""
    real_time_factor: float
    """CPU time of the stages over the time of the sound; 0.01 is 1 % of a core"""
    sound: Metrics | None
    """Levels, voice ratio, SNR and gain; None before the first chunk"""


class StreamingAudioProcessor:
    """Reads a source on a thread of its own and tells what is spoken, as it is spoken.

        with StreamingAudioProcessor(Microphone()) as ear:
            for utterance in ear.utterances():
                ...

    Iterate it for every event, blocking or with `async for`; read by one thread or task at a time.
    Iterating starts it, and after `stop` gives what is left.
    Events wait in a bounded queue: a reader that is away for long makes the queue fill, then the
    source's ring, and what is dropped there comes as a `Discontinuity`. Nothing is lost uncounted.
    Other methods are thread-safe.

    Args:
        source: where samples come from, or a function that makes one, which `start` calls each
            time; only with a function can a stream be started again.
        config: what is done to them.
        vads: detectors instead of those of the config.
        max_events: events that may wait to be read.
    """

    def __init__(
        self,
        source: Source | Callable[[], Source],
        config: AudioStreamConfig | None = None,
        *,
        vads: Sequence[Vad] | None = None,
        max_events: int = 256,
    ) -> None:
        self.config = config or AudioStreamConfig()
        self._make = source
        self._vads = vads
        self._max_events = max_events
        self._lock = threading.Lock()
        self._source: Source | None = None
        self._thread: threading.Thread | None = None
        self._mailbox: Mailbox[StreamEvent] = Mailbox(max_events)
        self._count = _Count()
        self._finalizer: Callable[[], object] | None = None

    def start(self) -> Self:
        """Open the source and begin. Blocks until it is open; does nothing while it runs.

        Raises:
            AudioDeviceError: the source cannot be opened, or was used up by an earlier start.
            MissingExtraError: something the source or the config needs is not installed.
        """
        with self._lock:
            if self.running:
                return self
            if self._source is not None and not callable(self._make):
                raise AudioDeviceError(
                    "a source does not begin twice",
                    where=type(self._source).__name__,
                    hint="Give a function that makes the source",
                )
            self._source = self._make() if callable(self._make) else self._make
            source = self._source.open()
            try:
                vads = None if self._vads is None else list(self._vads)
                chain = Chain(self.config, source.format.sample_rate, vads=vads)
            except BaseException:
                source.close()
                raise
            self._mailbox = Mailbox(self._max_events)
            self._count = _Count(chain)
            self._finalizer = weakref.finalize(self, _let_go, source, self._mailbox)
            self._thread = threading.Thread(
                target=_run,
                args=(source, chain, self._mailbox, self._count),
                name="mullama-ear",
                daemon=True,
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Close the source, and tell what was heard until then. Idempotent; blocks for the rest.

        What has not been read yet can still be.
        """
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            if self._thread is not None:
                self._thread.join()

    @property
    def running(self) -> bool:
        """Whether it was started, and the source has not ended."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def source(self) -> Source | None:
        """The one that is read, or was last; None before the first start."""
        return self._source

    @property
    def metrics(self) -> StreamMetrics:
        """Of now. Quick: for meters that look many times a second."""
        return self._count.metrics(len(self._mailbox))

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks now."""
        chain = self._count.chain
        return chain is not None and chain.speaking

    def __iter__(self) -> Iterator[StreamEvent]:
        self._start_unless_unread()
        while (event := self._mailbox.take()) is not None:
            yield event

    async def __aiter__(self) -> AsyncIterator[StreamEvent]:
        await asyncio.to_thread(self._start_unless_unread)
        while (event := await self._mailbox.take_async()) is not None:
            yield event

    def _start_unless_unread(self) -> None:
        if self._thread is None or self._mailbox.drained:
            self.start()

    def utterances(self) -> Iterator[Utterance]:
        """Of the events only these. Blocks."""
        return (event for event in self if isinstance(event, Utterance))

    async def utterances_async(self) -> AsyncIterator[Utterance]:
        """`utterances` for asyncio."""
        async for event in self:
            if isinstance(event, Utterance):
                yield event

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)

    def __repr__(self) -> str:
        state = "running" if self.running else "not running"
        return f"<StreamingAudioProcessor of {self._source or self._make}, {state}>"


class _Count:
    """What is counted on the stream's thread; others only read."""

    def __init__(self, chain: Chain | None = None) -> None:
        self.chain = chain
        self.chunks = self.samples = self.lost = self.gaps = self.utterances = 0
        self.busy_s = self.cpu_s = self.longest_s = 0.0

    def item(self, item: SourceItem) -> None:
        if isinstance(item, AudioChunk):
            self.chunks += 1
            self.samples += len(item.samples)
        elif isinstance(item, Discontinuity):
            self.gaps += 1
            self.lost += item.lost

    def spent(self, wall_s: float, cpu_s: float) -> None:
        self.busy_s += wall_s
        self.cpu_s += cpu_s
        self.longest_s = max(self.longest_s, wall_s)

    def metrics(self, waiting: int) -> StreamMetrics:
        chain = self.chain
        seconds = self.samples / chain.sample_rate if chain else 0.0
        return StreamMetrics(
            chunks=self.chunks,
            samples=self.samples,
            lost=self.lost,
            gaps=self.gaps,
            utterances=self.utterances,
            waiting=waiting,
            latency_ms=1000 * self.busy_s / self.chunks if self.chunks else 0.0,
            latency_max_ms=1000 * self.longest_s,
            delay_ms=chain.delay_ms if chain else 0.0,
            real_time_factor=self.cpu_s / seconds if seconds else 0.0,
            sound=chain.metrics if chain and self.chunks else None,
        )


def _let_go(source: Source, mailbox: Mailbox[StreamEvent]) -> None:
    source.close()
    mailbox.unbind()


def _run(source: Source, chain: Chain, mailbox: Mailbox[StreamEvent], count: _Count) -> None:
    """The thread. It holds nothing of the processor, which may be dropped while it runs."""
    try:
        since = time.monotonic()
        while True:
            item = source.read(_LOOK_MS)
            if item is None and source.ended:
                break
            _tell(_heard(item, since, source, chain, count), mailbox, count)
            since = time.monotonic()
        _tell(chain.finish(), mailbox, count)
    except BaseException as error:  # whatever it was, the reader has to know
        source.close()
        mailbox.close(error)
    else:
        mailbox.close()


def _heard(
    item: SourceItem | None, since: float, source: Source, chain: Chain, count: _Count
) -> Sequence[StreamEvent]:
    if item is None:
        silent_ms = 1000 * (time.monotonic() - since)
        return chain.starve(map_index(round(silent_ms), 1000, source.format.sample_rate))
    count.item(item)
    if isinstance(item, DeviceChange):
        return [item]
    wall, cpu = time.perf_counter(), time.thread_time()
    events = chain.push(item)
    count.spent(time.perf_counter() - wall, time.thread_time() - cpu)
    return events


def _tell(events: Sequence[StreamEvent], mailbox: Mailbox[StreamEvent], count: _Count) -> None:
    for event in events:
        count.utterances += isinstance(event, Utterance)
        mailbox.put(event)
