"""`mullama quantize`, `tokenize` and `bench`, run as a user runs them."""

import json

import pytest

from mullama_media import Model
from tests.cli.test_cli import mullama
from tests.engine.test_quantize import write_small


def test_tokenize_shows_ids_and_pieces(model):
    text = "Hello, wörld!"
    want = model.tokenize(text, add_special=True)
    assert mullama("tokenize", "tiny-omni", text, "--ids").stdout.split() == [str(t) for t in want]
    assert mullama("tokenize", "tiny-omni", "--count", stdin=text).stdout.strip() == str(len(want))
    found = json.loads(mullama("tokenize", "tiny-omni", text, "--json").stdout)
    assert found["tokens"] == want
    assert found["count"] == len(want)
    assert found["pieces"][0] == "Hello"
    table = mullama("tokenize", "tiny-omni", text).stdout.splitlines()
    assert len(table) == len(want)
    assert "Hello" in table[0]


def test_tokenize_reads_files_and_control_tokens(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("<|im_end|>")
    assert mullama("tokenize", "tiny-omni", "-f", file, "--ids").stdout.strip() == "2"
    plain = mullama("tokenize", "tiny-omni", "-f", file, "--ids", "--no-parse-special").stdout
    assert len(plain.split()) > 1
    missing = mullama("tokenize", "tiny-omni", "-f", tmp_path / "none")
    assert missing.returncode == 1
    assert "No such file" in missing.stderr


def test_quantize_plans_and_writes(tmp_path):
    small = write_small(tmp_path / "small-f32.gguf")
    plan = mullama("quantize", small, "q4_k_m", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "blk.0.attn_q.weight" in plan.stdout
    assert "bits per weight" in plan.stdout
    assert [f.name for f in tmp_path.iterdir()] == ["small-f32.gguf"]
    done = mullama("quantize", small, "Q8_0", "--tensor-type", "attn_v=f16", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["file"] == str(tmp_path / "small-Q8_0.gguf")
    types = {t["name"]: t["new_type"] for t in made["tensors"]}
    assert types["blk.0.attn_v.weight"] == "f16"
    again = mullama("quantize", small, "Q8_0")
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert mullama("quantize", small, "Q8_0", "--force").returncode == 0
    assert "Q4_K_M" in mullama("quantize", "--list").stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "takes a model"),
        (["tiny-omni", "Q4_KM", "--dry-run"], "Q4_K_M"),
        (["tiny-omni", "/tmp/never.gguf", "Q8_0"], "quantized already"),
        (["/nowhere.gguf", "Q8_0"], "no such file"),
    ],
)
def test_quantize_errors_are_one_line(args, message):
    done = mullama("quantize", *args)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_bench_prints_a_table_or_json(tiny_files):
    command = ["bench", tiny_files.model, "-p", 16, "-n", 4, "-r", 2]
    table = mullama(*command).stdout
    assert "pp16" in table
    assert "tg4" in table
    assert "tokens/s" in table
    found = json.loads(mullama(*command, "--parallel", 2, "--json").stdout)
    assert [r["test"] for r in found["results"]] == ["pp16x2", "tg4x2"]
    assert all(r["mean"] > 0 and len(r["rates"]) == 2 for r in found["results"])
    assert found["n_params"] == Model.load(tiny_files.model).n_params
