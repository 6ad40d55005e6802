"""The experts' episodes: told apart, shares found, missing variables predicted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from okrt import specs
from okrt.analysis.rows import row
from okrt.audit.reading import read
from okrt.audit.totals import audit_traces
from okrt.audit.traces import Trace
from okrt.audit.verdict import audit_trace
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.store import decode_episode, encode_episode
from okrt.types import Episode, Settings

EACH = 10
"""Tasks an expert plays under a contract here; `benchmarks/audit.py` takes 100."""


def play(expert: str, contract: str, runtime: ZygoteRuntime) -> Iterator[Episode]:
    settings = Settings()
    agent = specs.load_model(specs.model_spec(f"expert:{expert}"), settings, "opaque_knapsack")
    family = specs.FAMILIES["opaque_knapsack"]
    cases = (
        Case(family, family.task(seed, "easy"), specs.CONTRACTS[contract], agent.card, agent.model,
             settings)
        for seed in range(EACH)
    )  # fmt: skip
    return run_cases(cases, runtime)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Path]]:
    """By expert and contract, a run's episodes."""
    folder = tmp_path_factory.mktemp("played")
    runtime = ZygoteRuntime()
    files = {}
    for expert in ("persistent", "stateless"):
        for contract in ("persistent", "stateless"):
            file = folder / f"{expert}-{contract}.jsonl"
            lines = [encode_episode(episode) for episode in play(expert, contract, runtime)]
            file.write_bytes(b"".join(lines))
            files[expert, contract] = file
    yield files
    runtime.close()


def traces(file: Path) -> list[Trace]:
    found = [one for one in read([file]) if isinstance(one, Trace)]
    assert len(found) == EACH
    return found


@pytest.mark.parametrize(
    ("expert", "contract", "verdict"),
    [
        ("persistent", "persistent", "persistent"),
        ("persistent", "stateless", "mixed"),  # relies, is told NameError, pastes
        ("stateless", "persistent", "stateless"),
        ("stateless", "stateless", "stateless"),
    ],
)
def test_the_experts_are_told_apart(
    played: dict[tuple[str, str], Path], expert: str, contract: str, verdict: str
) -> None:
    for trace in traces(played[expert, contract]):
        assert audit_trace(trace).verdict == verdict


def test_a_mixture_of_experts_has_its_share(played: dict[tuple[str, str], Path]) -> None:
    one, other = (traces(played[name, name]) for name in ("persistent", "stateless"))
    for kept in (0, 3, EACH):
        found = audit_traces(one[:kept] + other)
        assert found.shares["persistent"].value == pytest.approx(kept / (kept + EACH), abs=0.02)


def test_missing_variables_are_predicted(played: dict[tuple[str, str], Path]) -> None:
    """From traces made under the persistent contract, what the expert meets under the other."""
    for expert in ("persistent", "stateless"):
        predicted = audit_traces(traces(played[expert, "persistent"])).missing_rate.value
        lines = played[expert, "stateless"].read_bytes().splitlines()
        met = [bool(row(decode_episode(line)).missing_variable_errors) for line in lines]
        assert predicted == pytest.approx(sum(met) / len(met), abs=0.05)
