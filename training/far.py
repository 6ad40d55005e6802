"""Collecting on the workers of a cluster: a task and a contract go there, an episode comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from okrt import specs
from okrt.engines.far import Job, NotPlayed
from okrt.engines.players import one_server
from okrt.errors import InfrastructureError, UsageError
from okrt.plan import Key, axes_of
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT
from okrt.runtimes.host import ZygoteRuntime
from okrt.specs import Agent
from okrt.types import Episode, Limits
from training.traces import ContractName, TraceSettings

if TYPE_CHECKING:
    from okrt.engines.ray import Crew


class Wanted(NamedTuple):
    """A trace to be made."""

    contract: str
    key: Key


class TracePlayer:
    """Plays tasks with a sandbox and models of its own."""

    def __init__(
        self,
        settings: TraceSettings,
        models: Mapping[ContractName, str],
        in_flight: int,
        number: int,
    ) -> None:
        """Holds nothing yet. `models` are specs as they were given; `number` is the worker's."""
        self._settings, self._models = settings, models
        self._in_flight, self._number = in_flight, number
        self._family = specs.family(settings.family)
        self._runtime = ZygoteRuntime()
        self._agents: dict[str, Agent] = {}

    def check(self) -> None:
        self._runtime.open(PERSISTENT, {}, Limits()).close()

    def play(self, cases: Sequence[Wanted]) -> Iterator[Episode | NotPlayed]:
        yield from run_cases(map(self._case, cases), self._runtime, self._in_flight)

    def close(self) -> None:
        self._runtime.close()

    def _case(self, wanted: Wanted) -> Case:
        settings = self._settings
        task = specs.make_task(self._family, wanted.key.seed, settings.tier, settings.split)
        name: ContractName = "persistent" if wanted.contract == "persistent" else "stateless"
        agent = self._agent(name)
        contract = specs.CONTRACTS[name]
        return Case(self._family, task, contract, agent.card, agent.model, settings.episode)

    def _agent(self, name: ContractName) -> Agent:
        text, settings = self._models[name], self._settings
        if text not in self._agents:
            spec = one_server(specs.model_spec(text), self._number)
            agent = specs.load_model(spec, settings.episode, self._family.name)
            if agent.card.digest != settings.models[name].digest:
                raise UsageError(
                    f"{spec.spec}: the files of this checkpoint are others than on the machine in "
                    "charge; copy it again, or name a directory that all machines share"
                )
            self._agents[text] = agent
        return self._agents[text]


def trace_job(
    player: Callable[[int], TracePlayer], tell: Callable[[str], None], gpus: bool = False
) -> Job[Wanted]:
    """Returns the job of collecting; each episode is on the disk in charge as it ends."""
    return Job(player, lambda one: one.key, lambda one: one.contract, _lost, gpus=gpus, tell=tell)


def play_on(crew: Crew[Wanted], cases: list[Case]) -> Iterator[Episode]:
    """Yields the episodes of cases. Raises InfrastructureError: of one there is none."""
    for found in crew.play([_wanted(case) for case in cases]):
        if isinstance(found, NotPlayed):
            raise InfrastructureError(found.why)
        yield found


def _wanted(case: Case) -> Wanted:
    task, name = case.task, case.contract.name
    key = Key(
        task.family, task.tier, task.split, case.card.label, name, case.repeat, task.seed,
        *axes_of(case.settings),
    )  # fmt: skip
    return Wanted(name, key)


def _lost(wanted: Wanted, why: str) -> Episode:
    raise InfrastructureError(
        f"seed {wanted.key.seed} under {wanted.contract}: {why}; the same command goes on"
    )
