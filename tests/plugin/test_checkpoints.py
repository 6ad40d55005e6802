"""Real checkpoint directories, through the main job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checkpoints import make_adapter, make_checkpoint, make_parrot
from tests.plugin.conftest import Run, alone, rows, text
from tests.toys import block

SMALL = ("--okrt-tier=micro", "--okrt-seeds=4", "--okrt-max-turns=2", "--okrt-max-new-tokens=12")


@alone
def test_a_directory_and_an_adapter_run(evaluate: Run, pytester: pytest.Pytester) -> None:
    base = pytester.path / "base"
    make_checkpoint(base)
    (base / "okrt.json").write_text(json.dumps({"trained_under": "stateless"}))
    make_adapter(pytester.path / "adapter", base)
    result = evaluate("--model=base", "--model=adapter", "--runtime=stateless", *SMALL)
    result.assert_outcomes(passed=8)
    found = rows(pytester.path / "run")
    assert {row["model_kind"] for row in found} == {"local"}
    by_model = {row["model"]: row for row in found}
    assert by_model["base"]["trained_under"] == "stateless"
    assert by_model["adapter"]["trained_under"] == "unknown"
    assert by_model["base"]["model_digest"] != by_model["adapter"]["model_digest"]
    assert by_model["base"]["tokenizer"] == by_model["adapter"]["tokenizer"]
    assert all(row["completion_tokens"] > 0 for row in found)
    assert "model x runtime" in text(result)
    assert "self-check" not in text(result)


@alone
def test_a_trained_model_acts_and_its_row_shows_it(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    make_parrot(pytester.path / "parrot", block("print(len(list_items()))", "finish()"))
    result = evaluate("--model=parrot", "--okrt-temperature=0", "--okrt-seeds=1")
    result.assert_outcomes(passed=2)
    for row in rows(pytester.path / "run"):
        assert (row["ending"], row["turns"], row["tool_calls"]) == ("finished", 1, 2)
        assert row["total_tokens"] > row["completion_tokens"] > 10


def test_each_worker_that_loads_a_checkpoint_is_announced(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    make_checkpoint(pytester.path / "base")
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess("-n2", "--model=base")
    assert "each of 2 workers loads base (" in text(result)
    result = pytester.runpytest_inprocess("-n0", "--model=base")
    assert "workers loads" not in text(result)


@pytest.mark.parametrize("damage", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_checkpoint_is_one_line(
    pytester: pytest.Pytester, evaluate: Run, damage: str
) -> None:
    base = Path(pytester.path / "base")
    make_checkpoint(base)
    (base / damage).unlink()
    result = evaluate("--model=base", *SMALL)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert sum("okrt" in line for line in result.errlines) == 1
    assert "Traceback" not in text(result)


@alone
def test_truncated_weights_are_an_error_of_one_line(
    pytester: pytest.Pytester, evaluate: Run
) -> None:
    base = Path(pytester.path / "base")
    make_checkpoint(base)
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    result = evaluate("--model=base", "--runtime=stateless", *SMALL)
    result.assert_outcomes(errors=4)
    assert result.ret == 1
    assert "Traceback" not in text(result)
