"""What many tests share: the embedded default model, loaded once."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mullama_media import (
    Engine,
    EngineParams,
    Media,
    Message,
    Model,
    MultimodalProcessor,
    Prompt,
    SamplingParams,
    hub,
)

# Programs started in the background ignore Ctrl-C, and so would those that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
GREEDY = SamplingParams(temperature=0)


@pytest.fixture(scope="session")
def tiny_files() -> hub.ModelFiles:
    """Files of tiny-omni; fetched at first use, from the cache after that."""
    return hub.resolve("tiny-omni")


@pytest.fixture(scope="session")
def model(tiny_files: hub.ModelFiles) -> Model:
    return Model.load(tiny_files.model)


@pytest.fixture(scope="session")
def media(model: Model, tiny_files: hub.ModelFiles) -> Media:
    assert tiny_files.mmproj is not None
    return Media.load(model, tiny_files.mmproj)


@pytest.fixture(scope="session")
def engine(model: Model, media: Media) -> Iterator[Engine]:
    with Engine(model, EngineParams(n_ctx=2048, n_parallel=4), media=media) as engine:
        yield engine


@pytest.fixture(scope="session")
def processor(engine: Engine) -> MultimodalProcessor:
    return MultimodalProcessor(engine)


@pytest.fixture(scope="session")
def ask(model: Model):
    """A chat prompt of one user text."""

    def make(text: str) -> Prompt:
        return Prompt.of_messages(model, [Message("user", [text])])

    return make
