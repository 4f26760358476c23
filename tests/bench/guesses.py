"""Speculative decoding by lookup, on a text that repeats and on one that does not."""

import statistics

from mullama_media import Engine, EngineParams, Model, Prompt, SamplingParams, StreamConfig, hub

ROUNDS = 3
GREEDY = SamplingParams(temperature=0)
CONFIG = StreamConfig(max_tokens=200, ignore_eos=True)
TEXTS = {
    "repetitive": "".join(
        f'{{"name": "item-{n}", "kind": "plain", "price": {10 + n}, "stock": true}},\n'
        for n in range(12)
    ),
    "free": "Once upon a time, in a village by the sea, there lived an old fisherman who",
}


def main() -> None:
    model = Model.load(hub.resolve("smollm2:135m").model)
    params = EngineParams(n_parallel=1, n_ctx=2048)
    with (
        Engine(model, params) as plain,
        Engine(model, params.with_speculative("lookup")) as guessing,
    ):
        for name, text in TEXTS.items():
            prompt = Prompt.of_parts(model, [text])
            rates = []
            for _ in range(ROUNDS):
                slow = plain.submit(prompt, GREEDY, CONFIG).result()
                fast = guessing.submit(prompt, GREEDY, CONFIG).result()
                rates.append(fast.timings.decode_rate / slow.timings.decode_rate)
            same = [t.id for t in slow.tokens] == [t.id for t in fast.tokens]
            timings = fast.timings
            print(
                f"{name}: {statistics.median(rates):.2f} times as fast, {timings.accepted_tokens} "
                f"of {timings.drafted_tokens} guesses right, "
                f"{'same tokens' if same else 'OTHER TOKENS'}",
                flush=True,
            )
