"""Inspect AI logs as they are written; that Inspect reads them is test_inspect_reader.py's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from okrt.analysis.cells import tables
from okrt.analysis.rows import row
from okrt.cli import main
from okrt.exports.inspect_sample import sample, usage
from okrt.store import EPISODES
from okrt.types import Episode, Settings, Usage
from tests.analysis.build import episode, turn
from tests.exports.conftest import calling, made, oddest, write


def logs(run: Path, out: Path, *more: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The documents of each log, by model, runtime and format."""
    assert main(["export", str(run), "--to", "inspect", "--out", str(out), *more]) == 0
    found = {}
    for path in out.iterdir():
        with ZipFile(path) as log:
            documents = {name: json.loads(log.read(name)) for name in log.namelist()}
        spec = documents["header.json"]["eval"]
        key = (spec["model"], spec["task_args"]["runtime"], spec["task_args"]["format"])
        found[key] = documents
    return found


def test_a_log_is_one_cell_and_its_figures_are_those_of_the_report(
    run: Path, tmp_path: Path
) -> None:
    found = logs(run, tmp_path / "out")
    assert sorted(found) == [
        ("=m|1", "persistent", "fenced"),
        ("=m|1", "stateless", "fenced"),
        ("=m|1", "stateless", "tool_call"),
        ("expert:persistent", "stateless", "fenced"),
    ]
    shown = 0
    for table in tables(map(row, made())):
        for (model, contract), cell in table.cells.items():
            header = found[model, contract, table.rows[0].format]["header.json"]
            metrics = {one["name"]: one["metrics"] for one in header["results"]["scores"]}
            assert metrics["score"]["mean"]["value"] == cell.score.value
            assert metrics["score"]["mean"]["metadata"]["low"] == cell.score.low
            assert metrics["lost"]["mean"]["value"] == cell.lost_rate.value
            if cell.relative_score.value is None:
                assert metrics["relative_score"] == {}
            shown += 1
    assert shown == 4


def test_a_log_says_whether_it_is_whole(tmp_path: Path) -> None:
    common = {"family": "opaque_knapsack", "tier": "easy", "split": "eval", "repeat": 0}
    plan = [{**common, "model": "=m|1", "contract": "persistent", "seeds": [[0, 5]]}]
    found = logs(write(tmp_path / "run", made(), plan=plan), tmp_path / "out")
    missing = found["=m|1", "persistent", "fenced"]["header.json"]
    assert missing["status"] == "cancelled"
    assert missing["results"]["total_samples"] == 5
    assert missing["results"]["completed_samples"] == 3
    broken = found["=m|1", "stateless", "fenced"]["header.json"]
    assert broken["status"] == "error"
    assert "1 of 4 episodes" in broken["error"]["message"]
    whole = found["expert:persistent", "stateless", "fenced"]["header.json"]
    assert whole["status"] == "success"
    assert whole["eval"]["config"]["epochs"] == 2
    assert "no evidence" in whole["eval"]["metadata"]["note"]


def test_every_sample_is_listed(run: Path, tmp_path: Path) -> None:
    for documents in logs(run, tmp_path / "out").values():
        listed = documents["summaries.json"]
        samples = [documents[name] for name in documents if name.startswith("samples/")]
        assert [(one["id"], one["epoch"]) for one in listed] == [
            (one["id"], one["epoch"]) for one in samples
        ]
        assert [one["scores"] for one in listed] == [one["scores"] for one in samples]


def test_an_event_shows_what_an_answer_was_given_to() -> None:
    one = calling()
    found = sample(row(one), one, "run", "2026-11-21T15:01:00+00:00", True)
    assert [event["input_refs"] for event in found["events"]] == [[[0, 1]], [[0, 3]], [[0, 5]]]
    said = [event["output"]["choices"][0]["message"] for event in found["events"]]
    assert said == found["messages"][1::2]
    assert found["events"][0]["output"]["usage"] == {
        "input_tokens": 10, "output_tokens": 5, "total_tokens": 25,
        "input_tokens_cache_read": 10, "reasoning_tokens": 1,
    }  # fmt: skip


def test_without_messages_the_task_stays(run: Path, tmp_path: Path) -> None:
    for documents in logs(run, tmp_path / "out", "--no-messages").values():
        for name in documents:
            if name.startswith("samples/"):
                assert documents[name]["input"] == "Fill the knapsack."
                assert not {"messages", "events", "output"} & documents[name].keys()


def test_what_is_not_known_is_left_out() -> None:
    one = replace(episode(turn(tokens=(None, 3))), outcome=None)
    found = sample(row(one), one, "run", "2026-11-21T15:01:00+00:00", True)
    assert set(found["scores"]) == {"lost", "missing_variable", "finished"}
    assert found["model_usage"] == {}
    assert usage(Usage(5, None)) == usage(Usage(None, 5)) == {}
    assert usage(Usage(20, 5, None, 30))["input_tokens"] == 0


def test_a_call_that_is_no_json_object_keeps_its_words(run: Path, tmp_path: Path) -> None:
    documents = logs(run, tmp_path / "out")["=m|1", "stateless", "tool_call"]
    (name,) = [name for name in documents if name.startswith("samples/")]
    said = [one for one in documents[name]["messages"] if one["role"] == "assistant"]
    good, *bad = [message["tool_calls"][0] for message in said]
    assert good["arguments"] == {"code": "print(1)"}
    assert [one["arguments"] for one in bad] == [{"raw": "{broken"}, {"raw": "[1]"}]
    assert all(one["parse_error"] for one in bad)
    assert documents[name]["limit"] == {"type": "token", "limit": 50}


def twice() -> list[Episode]:
    return [calling(), replace(calling(), id="other")]


def too_long() -> list[Episode]:
    (one, *_) = oddest()
    return [replace(one, task=replace(one.task, family="f" * 70_000))]


@pytest.mark.parametrize(("some", "said"), [(twice, "twice"), (too_long, "id is too long")])
def test_what_has_no_place_in_a_log_is_refused(
    some: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run", some())
    out = tmp_path / "out"
    assert main(["export", str(run), "--to", "inspect", "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("created", [None, "yesterday", "1970-01-01T00:00:00", 7])
def test_a_run_whose_beginning_is_not_known_has_its_files(created: Any, tmp_path: Path) -> None:
    run = write(tmp_path / "run", [calling()])
    text = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**text, "created": created or ""}))
    if not isinstance(created, int):
        (documents,) = logs(run, tmp_path / "out").values()
        assert documents["header.json"]["eval"]["created"].endswith("+00:00")
    assert (run / EPISODES).is_file()


def test_settings_that_differ_are_logs_of_their_own(tmp_path: Path) -> None:
    runs = [
        episode(turn(), id=f"{cap}", asked=Settings(tool_cap=cap), repeat=0) for cap in (5, 25, 80)
    ]
    out = tmp_path / "out"
    run = write(tmp_path / "run", runs)
    assert main(["export", str(run), "--to", "inspect", "--out", str(out)]) == 0
    assert len(list(out.iterdir())) == 3
