"""The gates that ship, and those of `okrt init`, can be decided on the tasks they state."""

from __future__ import annotations

from random import Random

import pytest

from okrt.analysis.planner import MeanPlan, RatePlan, ratio_plan, refusal
from okrt.gates.file import SHIPPED, STARTER, Gate, read

SPREAD = 0.14
"""Of a pair of easy scores (okrt.analysis.planner)."""
SLIPS = 0.005
"""Share of episodes in which a model that fits its runtime still loses a variable."""
CUT = 0.02
"""Share of episodes that limits end of a model that is fit to be deployed."""
TOKENS_SPREAD = 0.25
"""How much the tokens of one episode vary when the same model plays the same task again."""


def plan(gate: Gate) -> MeanPlan | RatePlan:
    match gate.metric.name, gate.kind:
        case "lost_rate", "at_most":
            return RatePlan(gate.limit, truth=SLIPS)
        case "finished_rate", "at_least":
            return RatePlan(1 - gate.limit, truth=CUT)
        case "score", "not_lower_by":
            return MeanPlan(SPREAD, gate.limit)
        case "total_tokens", "ratio_at_most":
            draw = Random("tokens of a pilot")
            task = [draw.lognormvariate(0, 0.3) for _ in range(2_000)]
            pilot = [[one * draw.lognormvariate(0, TOKENS_SPREAD) for one in task] for _ in "ab"]
            return ratio_plan(pilot[0], pilot[1], gate.limit)
    raise AssertionError(f"{gate.name}: no plan is known for {gate.metric.name} {gate.kind}")


@pytest.mark.parametrize("path", [SHIPPED, STARTER], ids=lambda path: path.name)
def test_every_gate_can_be_decided_at_its_seeds(path: object) -> None:
    gates = read(SHIPPED if path == SHIPPED else STARTER)
    tasks = len(gates.seeds) * len(gates.tiers)
    assert tasks == 100
    for gate in gates.gates:
        assert refusal(plan(gate), tasks) is None, gate.name
        assert refusal(plan(gate), tasks // 3) is not None, f"{gate.name}: so few tasks would do"


def test_every_margin_that_ships_has_a_written_reason() -> None:
    found = read(SHIPPED)
    assert all(gate.why and len(gate.why) > 80 for gate in found.gates)
    assert found.wants_baseline
    assert not found.runtimes
    assert found.name == "release"
