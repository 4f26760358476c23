"""Two builds of llama.cpp in one process: xllamacpp's wheel and ours."""

import json
import subprocess
import sys

import pytest

from mullama_media import MultimodalProcessor, StreamConfig, hub
from tests.conftest import GREEDY, SAMPLES

QUESTION = "Name three colours."
ABOUT_THE_PICTURE = "What is in the picture?"
IMPORTS = {
    "ours first": "import mullama_media._core, xllamacpp",
    "theirs first": "import xllamacpp, mullama_media._core",
}
SCRIPT = """
import json, sys
from pathlib import Path
from mullama_media import MultimodalProcessor, SamplingParams, StreamConfig

model, mmproj, picture, question, about = sys.argv[1:]
picture = Path(picture)

params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx = 512
params.n_parallel = 1
params.warmup = False

def ask_ours(processor):
    answers = [
        processor.generate(
            parts, sampling=SamplingParams(temperature=0), config=StreamConfig(max_tokens=24)
        ).text
        for parts in ([question], [picture, about])
    ]
    return answers

def ask_theirs(server):
    body = {
        "messages": [{"role": "user", "content": question}], "max_tokens": 24, "temperature": 0
    }
    return server.handle_chat_completions(body)["choices"][0]["message"]["content"]

with MultimodalProcessor.load(model, mmproj=mmproj) as processor:
    before = ask_ours(processor)
    server = xllamacpp.Server(params)
    theirs = ask_theirs(server)
    after = ask_ours(processor)
    again = ask_theirs(server)
    print("RESULT " + json.dumps([before, after, theirs, again]))
"""


@pytest.mark.model
@pytest.mark.parametrize("order", IMPORTS)
def test_both_generate_and_neither_disturbs_the_other(
    order: str, tiny_files: hub.ModelFiles, processor: MultimodalProcessor
) -> None:
    picture = SAMPLES / "shapes.png"
    alone = [
        processor.generate(parts, sampling=GREEDY, config=StreamConfig(max_tokens=24)).text
        for parts in ([QUESTION], [picture, ABOUT_THE_PICTURE])
    ]
    arguments = [tiny_files.model, tiny_files.mmproj, picture, QUESTION, ABOUT_THE_PICTURE]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS[order] + SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    before, after, theirs, again = json.loads(line.removeprefix("RESULT "))
    assert before == after == alone
    assert theirs == again
    assert len(theirs) > 10
