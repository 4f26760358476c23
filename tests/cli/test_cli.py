"""The command, run as a user runs it."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import typer

from mullama_media import SamplingParams, StreamConfig
from mullama_media.cli.app import app
from tests.conftest import SAMPLES

MULLAMA = [sys.executable, "-c", "from mullama_media.cli import main; main()"]


def mullama(*args, stdin="", **options):
    return subprocess.run(
        [*MULLAMA, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


def test_help_teaches():
    done = mullama("--help")
    assert done.returncode == 0
    for word in ("run", "pull", "info", "demo"):
        assert word in done.stdout
    run = mullama("run", "--help").stdout
    for word in (
        "MODEL",
        "PROMPT",
        "--image",
        "--audio",
        "--mmproj",
        "--system",
        "--json",
        "--stats",
    ):
        assert word in run


def test_every_option_of_sampling_and_stopping_has_a_flag_with_its_doc():
    command = typer.main.get_command(app).commands["run"]
    helps = {param.name: param.help for param in command.params if param.name != "help"}
    for cls, left_out in ((SamplingParams, {"logprobs"}), (StreamConfig, {"buffer_tokens"})):
        for field in dataclasses.fields(cls):
            if field.metadata["native"] and field.name not in left_out:
                assert helps.pop(field.name).startswith(field.metadata["doc"])
    assert "Default: 0.8." in mullama("run", "--help").stdout.replace("│", "")
    assert set(helps) >= {"preset", "n_ctx", "threads", "gpu_layers"}


def test_options_reach_the_engine(tiny_files):
    ask = ["run", tiny_files.model, "Tell me a story.", "-c", 512, "-n", 12, "--json"]
    options = ["--preset", "greedy", "--samplers", "penalties,temperature", "--repeat-penalty", 1.1]
    plain = json.loads(mullama(*ask, *options).stdout)
    assert plain == json.loads(mullama(*ask, *options).stdout) | {"timings": plain["timings"]}
    only = json.loads(mullama(*ask, *options, "--logit-bias", " sea=1000").stdout)
    assert only["text"] == " sea" * 12
    stops = ["--stop-regex", "sea\\s+sea", "--banned-strings", "x", "--min-tokens", 3]
    stopped = json.loads(mullama(*ask, *options, "--logit-bias", " sea=1000", *stops).stdout)
    assert (stopped["text"], stopped["stop_text"]) == (" ", "sea sea")


def test_info_names_version_pin_and_devices():
    text = mullama("info").stdout
    assert "mullama_media" in text
    assert "0c1e57098" in text
    found = json.loads(mullama("info", "--json").stdout)
    assert found["devices"][0]["memory_total"] > 0
    assert "CPU" in found["backends"]
    assert found["cpu_features"]


def test_run_prints_the_answer_and_stats(tiny_files):
    done = mullama("run", tiny_files.model, "What is 2+2?", "-n", 8, "-t", 0, "--stats", "-c", 512)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "first token after" in done.stderr


def test_run_hears_and_takes_its_prompt_from_stdin():
    done = mullama(
        "run", "tiny-omni", "-a", SAMPLES / "seven.wav", "-t", 0, "--json", stdin="What is said?"
    )
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    assert reply["text"].strip() == "seven"
    assert reply["finish_reason"] == "stop"
    assert reply["timings"]["encode_ms"] > 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "/nowhere/x.gguf", "Hi"], "no such file"),
        (["run", "tiny-omini", "Hi"], "tiny-omni"),
        (["run", "tiny-omni", "Hi", "-t", "-1"], "temperature"),
        (["run", "tiny-omni", "Hi", "-i", "/nowhere/x.png"], "/nowhere/x.png"),
        (["run", "tiny-omni"], "stdin is empty"),
        (["run", "tiny-omni", "Hi", "--samplers", "top_k,top_q"], "one of penalties, dry"),
        (["run", "tiny-omni", "Hi", "--logit-bias", "15:3"], "not TOKEN=BIAS"),
        (["run", "tiny-omni", "Hi", "--preset", "wild"], "no preset 'wild'"),
        (["run", "tiny-omni", "Hi", "--stop-regex", "(a"], "without its )"),
    ],
)
def test_errors_are_one_line_and_status_1(args, message):
    done = mullama(*args)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_ctrl_c_stops_with_status_130(tiny_files):
    command = [*MULLAMA, "run", str(tiny_files.model), "Tell me a long story.", "-n", "3000"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout.read(1)  # it is generating
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        process.communicate(timeout=30)
        assert time.monotonic() - started < 10
    assert process.returncode == 130


def test_importing_is_quick_and_works_without_the_core():
    code = (
        "import sys, time; t = time.perf_counter(); import mullama_media;"
        "print(time.perf_counter() - t); print('numpy' in sys.modules, "
        "'mullama_media._core' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.split("\n")[:2]
    assert float(seconds) < 0.1
    assert loaded == "False False"


def test_run_keeps_to_a_grammar(tiny_files, tmp_path):
    def run(*args):
        return mullama("run", tiny_files.model, "Name it.", "-t", 0, "-n", 60, "-c", 512, *args)

    assert run("--regex", "[xyz]{4}").stdout.strip("xyz\n") == ""
    schema = '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}'
    assert json.loads(run("--json-schema", schema).stdout)["n"] in (1, 2)
    file = tmp_path / "broken.gbnf"
    file.write_text('root ::= "a\n')
    done = run("--grammar", file)
    assert done.returncode == 1
    assert "line 2, column 1" in done.stderr
    both = run("--regex", "a", "--grammar", file)
    assert both.returncode == 1
    assert "only one of" in both.stderr


def test_a_session_goes_on_over_several_runs(tiny_files, tmp_path):
    talk = tmp_path / "talk.state"
    ask = ["run", tiny_files.model, "--mmproj", tiny_files.mmproj, "--session", talk, "--json"]
    ask += ["-c", 1024, "-n", 8, "-t", 0]
    first = json.loads(
        mullama(*ask, "What is in the picture?", "-i", SAMPLES / "shapes.png").stdout
    )
    second = json.loads(mullama(*ask, "And what else?").stdout)
    assert second["timings"]["reused_tokens"] >= first["timings"]["prompt_tokens"]
    assert second["timings"]["encode_ms"] == 0
    kept = talk.read_bytes()
    talk.write_bytes(kept[:-1])
    cut = mullama(*ask, "Well?")
    assert cut.returncode == 1
    assert f"should have {len(kept)} bytes" in cut.stderr.replace("\n", " ")
    talk.write_bytes(b"something else")
    broken = mullama(*ask, "Well?")
    assert broken.returncode == 1
    assert "not a saved state" in broken.stderr.replace("\n", " ")
    assert talk.read_bytes() == b"something else"
