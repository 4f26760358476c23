import pytest

from mullama_media.speech import TranscriberParams, load_transcriber


@pytest.fixture(scope="session")
def whisper():
    """The embedded default, whisper:tiny.en; fetched at first use."""
    with load_transcriber() as transcriber:
        yield transcriber


@pytest.fixture(scope="session")
def multilingual():
    with load_transcriber(TranscriberParams(model="whisper:base")) as transcriber:
        yield transcriber
