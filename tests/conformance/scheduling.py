"""The same greedy tokens however requests are scheduled: alone, together, reused, adapted, guessed.

Upstream answers each prompt alone. Both sides use the model's weights and a KV cache in 32 bits,
without flash attention: then rounding hardly depends on how rows are batched. Quantized kernels
round activations to 8 bits, which makes a difference in the last bit (one row and several rows have
different kernels) into 0.1 of a logit, and turns near ties, of upstream with itself too. Where
tokens differ, the margin between the two is printed, so that a tie can be told from an error.
"""

import tempfile
from pathlib import Path

from mullama_media import (
    AdapterSet,
    Engine,
    EngineParams,
    Grammar,
    LoraAdapter,
    Model,
    Prompt,
    QuantizeParams,
    SamplingParams,
    StreamConfig,
    hub,
    quantize,
)
from tests.conformance import upstream
from tests.conformance.answers import TEXTS
from tests.made import lora_pair, write_lora

TOKENS = 32
ASKED = TEXTS[:6]
GREEDY = SamplingParams(temperature=0, logprobs=2)
CONFIG = StreamConfig(max_tokens=TOKENS, ignore_eos=True)
F32 = ("-ctk", "f32", "-ctv", "f32", "-fa", "off")
GBNF = """root ::= item ("\\n" item)*
item ::= "- " [a-z ]+ "."
"""


def rounds(engine: Engine, prompts: list[Prompt], **extra: object) -> list[list]:
    """All prompts at once, twice: the second time, what is in the caches is reused if it may be."""
    answers = []
    for _ in range(2):
        streams = [engine.submit(prompt, GREEDY, CONFIG, **extra) for prompt in prompts]
        answers += [[t for t in s.result().tokens if t.id is not None] for s in streams]
    return answers


def compare(name: str, got: list[list], want: list[list[int]]) -> int:
    """How many answers differ; prints where, and by what margin the first choice was made."""
    failures = 0
    for number, tokens in enumerate(got):
        expected = want[number % len(want)]
        ids = [token.id for token in tokens]
        if ids == expected:
            continue
        failures += 1
        at = next((i for i, (a, b) in enumerate(zip(ids, expected, strict=False)) if a != b), -1)
        (_, first), (_, second) = tokens[at].top
        print(
            f"  {name}: {ASKED[number % len(want)]!r} differs at token {at}, "
            f"where the margin is {first - second:.1e}"
        )
    print(f"{name}: {len(got) - failures} of {len(got)} the same", flush=True)
    return failures


def ask(server: upstream.Server, prompts: list[Prompt], **extra: object) -> list[list[int]]:
    body = {"n_predict": TOKENS, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    body |= {"return_tokens": True, **extra}
    ids = [[token for _, part in prompt.chunks for token in part] for prompt in prompts]
    return [server.post("/completion", body | {"prompt": each})["tokens"] for each in ids]


def main() -> int:
    """How many answers differ."""
    binaries = upstream.build("llama-server", native=False)
    exact = EngineParams(
        n_ctx=512, n_parallel=1, cache_type_k="f32", cache_type_v="f32", flash_attention="off"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "f32.gguf"
        params = QuantizeParams(allow_requantize=True)
        quantize(hub.resolve("smollm2:135m").model, file, "F32", params)
        model = Model.load(file)
        prompts = [Prompt.of_parts(model, [text]) for text in ASKED]
        pair = lora_pair("blk.3.attn_q.weight", 576, 576, seed=1)
        lora = write_lora(Path(folder) / "lora.gguf", pair, alpha=16.0)
        with upstream.serve(binaries, file, None, n_ctx=512, options=F32) as server:
            plain = ask(server, prompts)
            ruled = ask(server, prompts, grammar=GBNF)
        with upstream.serve(
            binaries, file, None, n_ctx=512, options=(*F32, "--lora", lora)
        ) as server:
            adapted = ask(server, prompts)
        adapters = AdapterSet(((LoraAdapter.load(model, lora), 1.0),))
    grammar = Grammar.gbnf(GBNF)
    failures = 0
    for n in (1, 2, 8):
        for reuse in (True, False):
            name = f"{n} sequences, {'with' if reuse else 'without'} reuse"
            params = exact.with_n_parallel(n).with_reuse_prefix(reuse)
            with Engine(model, params) as engine:
                failures += compare(name, rounds(engine, prompts), plain)
                got = rounds(engine, prompts, adapters=adapters)
                failures += compare(f"{name}, LoRA", got, adapted)
                got = rounds(engine, prompts, grammar=grammar)
                failures += compare(f"{name}, grammar", got, ruled)
        for kind, draft in (("lookup", None), ("draft", model)):
            with Engine(
                model, exact.with_n_parallel(n).with_speculative(kind), draft=draft
            ) as engine:
                got = rounds(engine, prompts)
                failures += compare(f"{n} sequences, speculative {kind}", got, plain)
    return failures
