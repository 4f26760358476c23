"""Pictures, and a model that answers at once: what it says is noise, the same for a picture."""

import numpy as np
import pytest
from PIL import Image

from mullama_media import EngineParams, MultimodalProcessor
from tests import tiny


def draw(path, seed, size=(24, 20)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Paths of model and mmproj."""
    folder = tmp_path_factory.mktemp("tiny")
    return tiny.write_model(folder / "model.gguf"), tiny.write_mmproj(folder / "mmproj.gguf")


@pytest.fixture(scope="session")
def seeing(tiny_model):
    model, mmproj = tiny_model
    params = EngineParams(n_ctx=256, n_parallel=4)
    with MultimodalProcessor.load(model, mmproj=mmproj, engine_params=params) as processor:
        yield processor
