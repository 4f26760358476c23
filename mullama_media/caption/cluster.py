"""Captions by a Ray cluster: Ray Data hands out names, each worker has an engine."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import warnings
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from mullama_media import options
from mullama_media.caption.captioner import Captioner
from mullama_media.caption.journal import Journal
from mullama_media.caption.params import ClusterParams
from mullama_media.caption.record import Caption
from mullama_media.engine.params import EngineParams, MediaParams, ModelParams
from mullama_media.errors import ClusterError, InvalidOptionError, MissingExtraError, MullamaError
from mullama_media.multimodal import CaptionParams, MultimodalProcessor
from mullama_media.vision.params import PictureParams

__all__ = ["ClusterCaptioner", "Job"]

_BATCHES = 4096  # handed to Ray at once: what the driver holds does not grow with the pictures
_KNOWN = "journal"  # finish_reason of a picture whose caption the driver has
_REMEMBERED = 4096  # captions that a worker keeps for copies
_PATIENCE_S = 10
_AT_ONCE = 2  # batches a worker runs, so that the end of one leaves no sequence idle


@dataclass(frozen=True)
class Job:
    """What a worker needs to begin: the names of a model, not its bytes.

    Names are resolved on each machine: what `hf:` and `pypi:` name is fetched there once, and a
    path must lead to the same file everywhere.
    """

    model: str
    mmproj: str | None = None
    params: CaptionParams = field(default_factory=CaptionParams)
    engine: EngineParams = field(default_factory=EngineParams)
    loading: ModelParams = field(default_factory=ModelParams)
    media: MediaParams = field(default_factory=MediaParams)
    pictures: PictureParams = field(default_factory=PictureParams)
    folder: str = field(default_factory=os.getcwd)
    """Where relative paths begin"""

    def open(self) -> Captioner:
        """Load the model here. Raises as `MultimodalProcessor.load` and `Captioner`."""
        with contextlib.suppress(OSError):  # then relative paths are not found, and say so
            os.chdir(self.folder)
        processor = MultimodalProcessor.load(
            self.model,
            mmproj=self.mmproj,
            model_params=self.loading,
            media_params=self.media,
            engine_params=self.engine,
            pictures=self.pictures,
        )
        return Captioner(processor, self.params)


class ClusterCaptioner:
    """`Captioner` on a Ray cluster: the same question, journal and captions.

    This process, the driver, lists names, writes the journal and gives captions; workers read the
    pictures, decode them and ask. Only names and captions travel, so that Ray's back-pressure has
    little to hold back: a worker has two batches in work and two waiting.

    A worker that dies is started again and its batches are begun again, `attempts` times; then
    their pictures are tried one by one, and one that still finds no living worker fails alone.
    Captions reach the journal here, one batch at a time and each once, so that a driver that is
    killed goes on with another run, here or on one machine. Pictures with the same bytes are asked
    about once by each worker. Not thread-safe.

    mullama_media of the same version must be installed on every machine. Where this process
    is connected to Ray already, that connection is used and `address` is not.

    Args:
        job: model and question.
        params: the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        ClusterError: there is no cluster at the address, or a worker cannot start.
        InvalidOptionError: a local cluster has not what a worker needs.
        What loading the model and `Captioner` raise, from the worker that tried it.
    """

    def __init__(self, job: Job, params: ClusterParams | None = None) -> None:
        self.params = params or ClusterParams()
        self._ray = _import()
        self._owns = not self._ray.is_initialized()
        if self._owns:
            _connect(self._ray, self.params.address)
        try:
            self.workers, self.cpus = _sized(self._ray, self.params)
            threads = job.engine.threads or max(1, int(self.cpus))
            self._job = replace(
                job,
                engine=options.replace(job.engine, threads=threads),
                media=options.replace(job.media, threads=job.media.threads or threads),
            )
            self.question = self._probe()
        except BaseException:
            self.close()
            raise

    def run(
        self, paths: Iterable[str | os.PathLike[str]], journal: Journal | None = None
    ) -> Iterator[Caption]:
        """Captions as their batches are done; as `Captioner.run`.

        Raises:
            ClusterError: the cluster ended, or none of its machines can start a worker.
            What the iterable of paths raises.
        """
        names = (os.fspath(path) for path in paths)
        while some := list(islice(names, _BATCHES * self.params.batch)):
            left = yield from self._round(some, self.params.batch, _AT_ONCE, journal)
            if left:  # now a worker has one picture, so that it takes no other with it
                left = yield from self._round(left, 1, 1, journal)
            for path in left:
                yield Caption(path=path, error=f"{path}: its worker died whenever it was tried")

    def close(self) -> None:
        """Leave the cluster; a local one ends. Idempotent."""
        if self._owns:
            self._ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _probe(self) -> str:
        """The question, from a worker that loads the model: what cannot begin is an error here."""
        task = self._ray.remote(num_cpus=self.cpus, num_gpus=self.params.gpus, max_retries=1)(_ask)
        with _translated(self._ray):
            return str(self._ray.get(task.remote(self._job)))

    def _round(
        self, paths: list[str], size: int, at_once: int, journal: Journal | None
    ) -> Generator[Caption, None, list[str]]:
        """Captions, and at the end the paths that no worker lived to answer."""
        batches = [paths[at : at + size] for at in range(0, len(paths), size)]
        left = dict(enumerate(batches))
        known = self._ray.put(_digests(journal))
        with (
            _translated(self._ray),
            contextlib.closing(self._rows(batches, at_once, known)) as rows,
        ):
            for row in rows:
                if left.pop(row["batch"], None) is not None:
                    for values in json.loads(row["captions"]):
                        yield _kept(Caption.from_dict(values), journal)
        return [path for batch in left.values() for path in batch]

    def _rows(
        self, batches: list[list[str]], at_once: int, known: Any
    ) -> Generator[Mapping[str, Any]]:
        data: Any = self._ray.data
        context = data.DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # tried again here, picture by picture
        items = [{"batch": at, "paths": json.dumps(batch)} for at, batch in enumerate(batches)]
        pool = data.ActorPoolStrategy(
            min_size=1,
            max_size=self.workers,
            initial_size=self.workers,
            max_concurrent_calls_per_actor=at_once,
            max_tasks_in_flight_per_actor=2 * at_once if at_once > 1 else 1,
            enable_true_multi_threading=True,
        )
        with data.DataContext.current(context), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of max_task_retries, which has no other place yet
            answers = data.from_items(items, override_num_blocks=len(items)).map(
                _Worker,
                fn_constructor_args=(self._job, known),
                compute=pool,
                num_cpus=self.cpus,
                num_gpus=self.params.gpus or None,
                max_restarts=-1,
                max_task_retries=self.params.attempts - 1,
            )
        yield from answers.iter_rows()


class _Worker:
    """A process of the cluster: the model once, and what it has seen."""

    def __init__(self, job: Job, known: Any) -> None:
        import ray

        self._captioner = job.open()
        self._memory = _Seen(ray.get(known))

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A batch of paths to a batch of captions."""
        captions = self._captioner.run(json.loads(row["paths"]), self._memory)
        answers = [caption.as_dict() for caption in captions]
        return {"batch": row["batch"], "captions": json.dumps(answers)}


class _Seen:
    """`Memory` of a worker: digests in the journal, and its own last captions. Thread-safe."""

    def __init__(self, known: np.ndarray) -> None:
        self._known = known  # sorted, shared by the workers of a machine
        self._own: OrderedDict[str, Caption] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, path: str, digest: str) -> Caption | None:
        at = np.searchsorted(self._known, digest.encode())
        if at < len(self._known) and self._known[at] == digest.encode():
            return Caption(path, digest, finish_reason=_KNOWN)
        return None

    def alike(self, digest: str) -> Caption | None:
        with self._lock:
            return self._own.get(digest)

    def add(self, caption: Caption) -> None:
        with self._lock:
            self._own.setdefault(caption.digest, caption)
            if len(self._own) > _REMEMBERED:
                self._own.popitem(last=False)


def _digests(journal: Journal | None) -> np.ndarray:
    """Of every picture that has a caption, sorted; 64 bytes each, which workers share."""
    digests = () if journal is None else journal.digests()
    return np.array([digest.encode() for digest in digests], "S64")


def _kept(caption: Caption, journal: Journal | None) -> Caption:
    """What a worker says, as the journal has it."""
    if journal is None or caption.error is not None:
        return caption
    known = journal.find(caption.path, caption.digest)
    if known is not None:
        return known
    alike = journal.alike(caption.digest)  # from before, or another worker's
    if alike is not None:
        caption = alike.of_copy(caption.path, caption.milliseconds)
    journal.add(caption)
    return caption


def _ask(job: Job) -> str:
    captioner = job.open()
    try:
        return captioner.question
    finally:
        captioner.processor.close()


def _import() -> ModuleType:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError.of("captions on a cluster", "ray") from error
    return ray


def _connect(ray: ModuleType, address: str) -> None:
    own: dict[str, Any] = {}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # the rest is raised, or in Ray's logs
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own = {"include_dashboard": False}
    host, _, port = address.rpartition(":")
    try:
        if port.isdecimal():  # Ray would try for minutes
            socket.create_connection((host.rpartition("/")[2], int(port)), _PATIENCE_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError, OverflowError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ClusterError(
            f"no Ray cluster answers: {first}",
            where=address,
            hint="See `ray status`; a cluster with tokens wants RAY_AUTH_MODE=token, too",
        ) from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what fails is said in a caption


def _sized(ray: ModuleType, params: ClusterParams) -> tuple[int, float]:
    """Workers, and the processors of each."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    machines = [has for has in machines if has.get("CPU", 0) > 0]
    workers = params.workers or max(1, len(machines))
    smallest = min((has["CPU"] for has in machines), default=1.0)
    together = -(-workers // max(1, len(machines)))
    cpus = params.cpus or float(max(1, smallest // together))
    wanted = {"CPU": cpus, "GPU": params.gpus}
    if params.address == "local" and not any(
        all(has.get(kind, 0) >= n for kind, n in wanted.items()) for has in machines
    ):
        here = ", ".join(f"{(machines or [{}])[0].get(kind, 0):g} {kind}" for kind in wanted)
        raise InvalidOptionError(
            f"a worker wants {cpus:g} CPU, {params.gpus:g} GPU, and this machine has {here}",
            where="ClusterParams",
        )
    return workers, cpus


@contextlib.contextmanager
def _translated(ray: ModuleType) -> Iterator[None]:
    """Errors of Ray as ours; ours that come through Ray as they were."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while isinstance(cause, ray.exceptions.RayError) or not isinstance(
            cause, MullamaError | None
        ):  # what a task raised is wrapped in an error of Ray that pretends to be it
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, MullamaError):
            raise cause.with_traceback(None) from None
        first = str(error).strip().partition("\n")[0]
        raise ClusterError(f"Ray gave up: {first}") from error
