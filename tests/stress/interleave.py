"""One interleaving: an engine, several users at once, and what must hold when they are done."""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import shutil
import subprocess
import sys
import threading
import time

from mullama_media import Engine, EngineParams
from tests.stress.actors import Actor, BlockingActor, Closer, Ledger, LoopActor
from tests.stress.world import N_CTX, World


def engine_of(world: World, rng: random.Random) -> Engine:
    params = EngineParams(
        n_ctx=N_CTX,
        n_parallel=rng.randint(1, 4),
        n_batch=rng.choice([16, 64, 512]),
        prefill_chunk=rng.choice([8, 64]),
        max_queue=rng.choice([2, 1024]),
        reuse_prefix=rng.random() < 0.7,
        media_cache_mb=rng.choice([0, 1]),
        speculative=rng.choice(["off", "off", "lookup"]),
        threads=rng.choice([1, 1, 2]),
        cache_type_k="f32",
        cache_type_v="f32",
    )
    return Engine(world.model, params, media=world.media)


def interleave(world: World, rng: random.Random, timeout_s: float = 60) -> Ledger:
    """Run one; raises on what does not hold. A hang ends the process, with all stacks."""
    ledger = Ledger()
    watchdog = threading.Timer(timeout_s, _hung)
    watchdog.daemon = True
    watchdog.start()
    engine = engine_of(world, rng)
    kinds: list[type[Actor]] = [
        rng.choice([BlockingActor, LoopActor]) for _ in range(rng.randint(2, 5))
    ]
    if rng.random() < 0.4:
        kinds.append(Closer)
    actors = [
        kind(world, engine, ledger, random.Random(rng.random()), rng.randint(1, 4))
        for kind in kinds
    ]
    threads = [threading.Thread(target=_guarded, args=(actor, ledger)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threads.clear()
    actors.clear()
    gc.collect()  # streams that were left unread are cancelled by this at the latest
    if ledger.faults:
        raise ledger.faults[0]
    if not engine.closed:
        _check_counters(engine, ledger)
    engine.close()
    for native in ledger.natives:
        _check_ended(native)
    watchdog.cancel()
    return ledger


def _guarded(actor: Actor, ledger: Ledger) -> None:
    try:
        actor.run()
    except BaseException as error:
        ledger.faults.append(error)


def _check_counters(engine: Engine, ledger: Ledger) -> None:
    end = time.monotonic() + 20
    while (counters := engine.counters) and (counters.active or counters.queued):
        assert time.monotonic() < end, f"requests that nobody reads go on: {counters}"
        time.sleep(0.001)
    terminals = [_terminal(native) for native in ledger.natives]
    assert counters.requests >= len(terminals)  # those of submit_many may be taken back unseen
    if counters.requests == len(terminals):
        timings = [terminal.timings for terminal in terminals]
        assert counters.generated_tokens == sum(t.generated_tokens for t in timings)
        assert counters.prompt_tokens == sum(t.prompt_tokens for t in timings)
        assert counters.accepted_tokens == sum(t.accepted_tokens for t in timings)


def _terminal(native):
    """The end of a request, once what waits before it is taken."""
    native.take()
    terminal = native.terminal()
    assert terminal is not None, "a request without an end"
    return terminal


def _check_ended(native) -> None:
    terminal = _terminal(native)
    assert native.take() == ([], True), "a token after the end"
    assert native.take_question() is None or terminal.finish in ("cancelled", "deadline", "error")
    assert (terminal.error is not None) == (terminal.finish == "error")


def _hung() -> None:
    print("an interleaving hangs", file=sys.stderr)
    faulthandler.dump_traceback(all_threads=True)
    if gdb := shutil.which("gdb"):
        script = ["-batch", "-ex", "thread apply all bt 25"]
        subprocess.run([gdb, *script, "-p", str(os.getpid())], stdout=sys.stderr, check=False)
    os._exit(3)
