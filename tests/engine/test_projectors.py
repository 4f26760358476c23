"""Every family of encoders gives upstream's tokens, alone and among others.

Those tokens were recorded from llama-mtmd-cli by `python -m tests.conformance.projectors --record`.
"""

import json

import pytest

from mullama_media import EngineParams, MultimodalProcessor, SamplingParams, StreamConfig
from tests import families

GOLDEN = json.loads(families.GOLDEN.read_text())
CONFIG = StreamConfig(max_tokens=families.TOKENS)
EXACT = EngineParams(n_ctx=2048, cache_type_k="f32", cache_type_v="f32", flash_attention="off")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    return families.draw_media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module", params=list(families.FAMILIES))
def family(request, tmp_path_factory):
    """Its name, model and mmproj."""
    return request.param, *families.write(tmp_path_factory.mktemp("family"), request.param)


@pytest.fixture
def load(family):
    """The family's processor, of this size."""
    _, model, mmproj = family

    def make(**size):
        params = EXACT.with_n_parallel(1)
        for name, value in size.items():
            params = getattr(params, f"with_{name}")(value)
        return MultimodalProcessor.load(model, mmproj=mmproj, engine_params=params)

    return make


def ask(processor, parts):
    return processor.stream(parts, sampling=SamplingParams(temperature=0), config=CONFIG)


def ids(completion):
    return [token.id for token in completion.tokens if token.id is not None]


def test_alone(family, media, load):
    with load() as processor:
        for case, parts in families.cases(family[0], media).items():
            assert ids(ask(processor, parts).result()) == GOLDEN[family[0]][case], case


def test_together_and_again(family, media, load):
    prompts = families.cases(family[0], media)
    with load(n_parallel=4) as processor:
        for _ in range(2):
            asked = {case: ask(processor, parts) for case, parts in prompts.items()}
            for case, stream in asked.items():
                assert ids(stream.result()) == GOLDEN[family[0]][case], case


@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_media_are_cut_anywhere_while_others_run(family, media, load, chunk):
    """16 rows are a picture of gemma3, whose rows must be evaluated together."""
    prompts = families.cases(family[0], media)
    with load(n_parallel=4, prefill_chunk=chunk, n_ubatch=16) as processor:
        endless = processor.stream(
            "Go on.", config=StreamConfig(max_tokens=1800, buffer_tokens=2000)
        )
        next(endless)
        asked = {case: ask(processor, parts) for case, parts in prompts.items()}
        for case, stream in asked.items():
            assert ids(stream.result()) == GOLDEN[family[0]][case], case
        endless.cancel()


@pytest.mark.parametrize("reuse", [True, False])
def test_a_second_question_does_not_encode_again(family, media, load, reuse):
    prompts = families.cases(family[0], media)
    with load(n_parallel=4, reuse_prefix=reuse) as processor:
        for case in [case for case in prompts if f"{case} again" in prompts]:
            ask(processor, prompts[case]).result()
            again = ask(processor, prompts[f"{case} again"]).result()
            assert ids(again) == GOLDEN[family[0]][f"{case} again"], case
            assert again.timings.encode_ms == 0, case
            chunks = processor.prepare(prompts[case]).chunks
            if reuse:
                shown = sum(rows for kind, rows in chunks if kind != "text")
                assert again.timings.reused_tokens > shown, case
            else:
                assert again.timings.reused_tokens == 0, case
