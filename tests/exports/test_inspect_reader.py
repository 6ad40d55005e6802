"""Inspect's own readers take the logs: every sample, score and message.

They need inspect_ai, whose pins collide with those of the other tests: run by tox -e inspect.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from okrt.analysis.rows import row
from okrt.cli import main
from okrt.exports.inspect_sample import sample_id
from okrt.exports.messages import chat
from okrt.store import read_episodes
from okrt.types import Episode
from tests.exports.conftest import made, oddest, write

pytestmark = pytest.mark.inspect


@pytest.fixture(scope="module", params=[made, oddest], ids=["made", "oddest"])
def exported(request: Any, tmp_path_factory: Any) -> tuple[dict[Any, Episode], Path]:
    """The episodes by task, epoch, model, runtime and format; and the folder of logs."""
    folder = tmp_path_factory.mktemp("inspect")
    run = write(folder / "run", request.param())
    assert main(["export", str(run), "--to", "inspect", "--out", str(folder / "logs")]) == 0
    episodes = [one for one in read_episodes(run) if isinstance(one, Episode)]
    return {
        (sample_id(row(e)), e.repeat + 1, e.model.label, e.contract, e.settings.format): e
        for e in episodes
    }, folder / "logs"


def read(folder: Path) -> dict[Any, Any]:
    from inspect_ai.log import list_eval_logs, read_eval_log

    found = {}
    for info in list_eval_logs(str(folder)):
        log = read_eval_log(info)
        asked = log.eval.task_args
        for one in log.samples or []:
            key = (one.id, one.epoch, log.eval.model, asked["runtime"], asked["format"])
            found[key] = (log, one)
    return found


def test_all_samples_scores_and_messages_are_read(exported: Any) -> None:
    episodes, folder = exported
    found = read(folder)
    assert found.keys() == episodes.keys()
    for key, (log, one) in found.items():
        episode = episodes[key]
        told = row(episode)
        scores = {name: score.value for name, score in (one.scores or {}).items()}
        wanted = {"score": told.score, "relative_score": told.relative_score}
        assert {name: scores.get(name) for name in wanted} == wanted
        assert bool(scores) == (episode.failure is None)
        assert (one.error is not None) == (episode.failure is not None)
        assert one.input == (chat(episode) or [{"content": episode.task.prompt}])[0]["content"]
        same_messages(one.messages, chat(episode) or [])
        if told.total_tokens:
            assert one.model_usage[told.model].total_tokens == told.total_tokens
        if episode.trajectory is not None:
            events = [event for event in one.events if event.event == "model"]
            assert len(events) == len(episode.trajectory.turns)
            for number, event in enumerate(events):
                assert len(event.input) == 2 * number + 1
        assert log.results.total_samples == len(log.samples)


def same_messages(found: Any, wanted: list[dict[str, Any]]) -> None:
    assert [one.role for one in found] == [one["role"] for one in wanted]
    for one, meant in zip(found, wanted, strict=True):
        assert one.text == meant["content"]
        if one.role == "tool":
            assert one.tool_call_id == meant["tool_call_id"]
            assert one.function == "python"
        for call, said in zip(
            getattr(one, "tool_calls", None) or [], meant.get("tool_calls", []), strict=True
        ):
            assert (call.id, call.function) == (said["id"], "python")
            if call.parse_error is None:
                assert call.arguments == json.loads(said["function"]["arguments"])


def test_samples_can_be_read_one_by_one(exported: Any) -> None:
    from inspect_ai.log import (
        list_eval_logs,
        read_eval_log_sample,
        read_eval_log_sample_summaries,
    )

    for info in list_eval_logs(str(exported[1])):
        for one in read_eval_log_sample_summaries(info):
            assert read_eval_log_sample(info, id=one.id, epoch=one.epoch).uuid == one.uuid


def test_data_frames_are_made(exported: Any) -> None:
    from inspect_ai.analysis import evals_df, messages_df, samples_df

    episodes, folder = exported
    evals = evals_df(str(folder), quiet=True)
    assert sorted(set(evals["task_arg_runtime"])) == sorted({e.contract for e in episodes.values()})
    samples = samples_df(str(folder), quiet=True)
    assert len(samples) == len(episodes)
    scores = sorted(samples["score_score"].dropna().astype(float))
    told = sorted(e.outcome.score for e in episodes.values() if e.outcome is not None)
    assert scores == told
    messages = messages_df(str(folder), quiet=True)
    said = [message for one in episodes.values() for message in chat(one) or []]
    last = [
        m for one in episodes.values() for m in (chat(one) or [])[-1:] if m["role"] != "assistant"
    ]
    assert len(messages) == len(said) - len(last)  # what no answer followed is in no request


def test_inspects_command_converts_and_dumps(exported: Any, tmp_path: Path) -> None:
    inspect = [str(Path(sys.executable).parent / "inspect"), "log"]
    first = str(next(exported[1].iterdir()))
    subprocess.run([*inspect, "dump", first], check=True, capture_output=True)
    subprocess.run(
        [*inspect, "convert", first, "--to", "json", "--output-dir", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    (converted,) = tmp_path.iterdir()
    assert json.loads(converted.read_text())["version"] == 2
