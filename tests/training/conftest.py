from pathlib import Path

import pytest

from okrt import specs
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Episode, Settings
from tests.checkpoints import make_checkpoint
from training.tiny.results import CELLS


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoints") / "random")


@pytest.fixture(scope="session")
def episodes() -> list[Episode]:
    """Of experts that stand for tiny models trained under their contracts, on 12 tasks."""
    family, settings = specs.family("opaque_knapsack"), Settings(max_turns=12)
    found: list[Episode] = []
    with ZygoteRuntime() as runtime:
        for trained, run in CELLS:
            spec = specs.model_spec(f"{trained}=expert:{trained},recovery=retry")
            agent = specs.load_model(spec, settings, family.name)
            cases = (
                Case(
                    family, family.task(seed, "micro"), specs.CONTRACTS[run],
                    agent.card, agent.model, settings,
                )
                for seed in range(12)
            )  # fmt: skip
            found += run_cases(cases, runtime)
    return found
