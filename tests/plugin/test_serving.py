"""How checkpoints are served, and how long a cell may take."""

from __future__ import annotations

import json

import pytest

from okrt.engines.limits import CellClock
from tests.checkpoints import make_adapter, make_checkpoint
from tests.plugin.conftest import Run, alone, plain, rows, text

SMALL = (
    "--runtime=stateless",
    "--okrt-tier=micro",
    "--okrt-max-turns=2",
    "--okrt-max-new-tokens=8",
)

TALKERS = """
import pytest
from okrt.types import Completion, Usage
from tests.toys import block

class Talker:
    def __init__(self, name, **more):
        self.name, self.asked = name, []
        self.__dict__.update(more)
    def generate(self, conversations):
        self.asked.append(len(conversations))
        return [Completion(block("finish()"), "stop", Usage()) for _ in conversations]
    def release(self):
        print("released", self.name, "after", sum(self.asked))

USUAL, OWN = Talker("usual"), Talker("own", concurrency=3)

@pytest.mark.okrt(tiers=["micro"], seeds=range(20))
def test_case(episode):
    assert episode.outcome

def test_asked(request):
    print("asked", USUAL.asked[:1], OWN.asked[:1])
"""


@pytest.mark.parametrize("workers", ["0"], ids=["alone"])
@pytest.mark.parametrize(
    ("arguments", "asked"), [((), "[16] [3]"), (("--okrt-concurrency=5",), "[5] [5]")]
)
def test_as_many_episodes_are_in_flight_as_asked_for_or_as_the_model_says(
    evaluate: Run, pytester: pytest.Pytester, arguments: tuple[str, ...], asked: str
) -> None:
    pytester.makepyfile(test_talkers=TALKERS)
    result = evaluate(
        "-s", "--model=test_talkers:USUAL", "--model=test_talkers:OWN",
        "--runtime=stateless", *arguments,
    )  # fmt: skip
    assert f"asked {asked}" in text(result)
    released = [line for line in text(result).splitlines() if "released" in line]
    assert [line.partition("released ")[2] for line in released] == ["usual after 20"]
    assert result.ret == 0


SLOW = """
import time
import pytest
from okrt.types import Completion, Usage
from tests.toys import block

class Slow:
    name = "slow"
    def generate(self, conversations):
        time.sleep(0.2)
        return [Completion(block("print(1)"), "stop", Usage()) for _ in conversations]

MODEL = Slow()

@pytest.mark.okrt(tiers=["micro"], seeds=range(4))
def test_case(episode):
    assert episode.outcome
"""


@alone
def test_a_cell_whose_time_is_over_keeps_what_it_has(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    """One episode at a time takes half a second; a cell has a whole one."""
    pytester.makepyfile(test_slow=SLOW)
    result = evaluate(
        "--model=test_slow:MODEL", "--runtime=stateless", "--okrt-max-turns=3",
        "--okrt-concurrency=1", f"--okrt-cell-minutes={1.0 / 60}",
    )  # fmt: skip
    shown = plain(result)
    assert result.ret == 1
    found = rows(pytester.path / "run")
    assert 1 <= len(found) < 4
    assert all(row["failure"] is None for row in found)
    run = json.loads((pytester.path / "run" / "run.json").read_text())
    assert len(run["not_run"]) == 4 - len(found)
    assert set(run["not_run"]) < set(run["manifest"])
    assert run["complete"] is False
    assert f"incomplete: {len(found)} of 4 episodes" in shown
    assert f"not run, the time of their cell was over: {4 - len(found)} cases" in shown
    assert "minutes of its cell (--okrt-cell-minutes) were over" in shown


def test_the_clock_of_a_cell_starts_when_it_is_first_asked() -> None:
    now = [0.0]
    clock = CellClock(2, lambda: now[0])
    assert not clock.over("one")
    now[0] = 119.0
    assert not clock.over("one")
    assert not clock.over("other")
    now[0] = 120.0
    assert clock.over("one")
    assert not clock.over("other")
    assert not CellClock(None, lambda: 1e9).over("one")


@alone
def test_adapters_are_put_on_the_base_that_is_given(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    base = make_checkpoint(pytester.path / "base")
    for seed in (0, 1):
        make_adapter(pytester.path / f"adapter-{seed}", base, seed=seed)
    base.rename(pytester.path / "moved")
    models = ("--model=adapter-0", "--model=adapter-1")
    result = evaluate(*models, "--okrt-base-model=moved", *SMALL, "--okrt-seeds=2")
    result.assert_outcomes(passed=4)
    found = rows(pytester.path / "run")
    assert len({row["model_digest"] for row in found}) == 2
    assert {row["repetition_stops"] for row in found} == {0}
    assert all(row["timing"]["cached_tokens"] > 0 for row in found)
    assert all(row["timing"]["harness_s"] > 0 for row in found)
    assert "time in model " in text(result)
    assert "of prompts cached" in text(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--okrt-concurrency=0",), "--okrt-concurrency '0': give a whole number of at least 1"),
        (("--okrt-kv-tokens=much",), "--okrt-kv-tokens 'much': give a whole number"),
        (("--okrt-stop-repetition=9",), "'9': give off or a whole number of at least 64"),
        (("--okrt-stop-repetition=on",), "--okrt-stop-repetition 'on': give off or a whole"),
        (("--okrt-cell-minutes=0",), "--okrt-cell-minutes '0': give a positive number of minutes"),
        (("--okrt-cell-minutes=nan",), "--okrt-cell-minutes 'nan': give a positive number"),
        (("--okrt-base-model=x",), "--okrt-base-model 'x': none of the models is an adapter"),
    ],
)
def test_a_mistake_is_one_line(evaluate: Run, arguments: tuple[str, ...], message: str) -> None:
    result = evaluate(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in plain(result)


def test_a_base_that_is_none_is_one_line(evaluate: Run, pytester: pytest.Pytester) -> None:
    make_adapter(pytester.path / "adapter", make_checkpoint(pytester.path / "base"))
    result = evaluate("--model=adapter", "--okrt-base-model=nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "nowhere: no such directory" in plain(result)
