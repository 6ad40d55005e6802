"""When a session is over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from okrt.engines.limits import SessionLimits
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT
from okrt.types import Episode, ModelCard, Settings
from tests.toys import FAMILY, FakeRuntime, Says, block

CARD = ModelCard("m", "m", "scripted")


def episode() -> Episode:
    model = Says(block("finish()"))
    case = Case(FAMILY, FAMILY.task(0, "low"), PERSISTENT, CARD, model, Settings())
    return next(iter(run_cases([case], FakeRuntime())))


def test_time_is_counted_from_the_beginning() -> None:
    now = [5.0]
    limits = SessionLimits(2, None, lambda: now[0])
    assert (limits.left_s, limits.over()) == (7200, "")
    now[0] = 5.0 + 7199
    assert limits.over() == ""
    now[0] = 5.0 + 7201
    assert limits.left_s == 0
    assert limits.over() == "the 2 hours of the session (--okrt-max-hours) were over"


def test_tokens_are_those_of_the_episodes_recorded() -> None:
    one = episode()
    assert one.trajectory is not None
    usage = one.trajectory.usage
    tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
    limits = SessionLimits(None, 2 * tokens)
    limits.spend(one)
    limits.spend(replace(one, trajectory=None))
    assert (limits.left_s, limits.over()) == (None, "")
    limits.spend(one)
    assert f"the {2 * tokens} tokens of the session" in limits.over()


@pytest.mark.parametrize("limits", [SessionLimits(None, None), SessionLimits(1, 10**9)])
def test_without_need_nothing_is_over(limits: SessionLimits) -> None:
    assert limits.over() == ""
