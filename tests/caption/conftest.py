"""Pictures, and a model that answers at once: what it says is noise, the same for a picture."""

import socket
import subprocess
import sys
import time

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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def s3_server():
    """Environment in which s3://pics/ is a bucket of an S3 server on this machine."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "moto.server ended"
            time.sleep(0.1)
        yield {
            "AWS_ACCESS_KEY_ID": "mullama",
            "AWS_SECRET_ACCESS_KEY": "mullama",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        }
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """A file system of that server, with the bucket."""
    from pyarrow import fs

    for name, value in s3_server.items():
        monkeypatch.setenv(name, value)
    endpoint = s3_server["AWS_ENDPOINT_URL"].removeprefix("http://")
    files = fs.S3FileSystem(endpoint_override=endpoint, scheme="http", allow_bucket_creation=True)
    files.create_dir("pics")
    return files
