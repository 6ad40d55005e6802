"""Running cases in this process: one at a time in a worker, ahead of their tests elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import groupby

from okrt import specs
from okrt.engines.finished import NOTHING, Finished
from okrt.engines.limits import CellClock, NotRun
from okrt.errors import InfrastructureError, OkrtError, RuntimeFailure, UsageError
from okrt.models.endpoint import names_server
from okrt.models.scripted import ScriptedModel
from okrt.plan import Key, key_of
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.selection.arguments import Options
from okrt.selection.cases import CaseSpec, cell_of_case, key_of_case
from okrt.specs import Agent, ModelSpec
from okrt.types import Episode, Model, ModelCard, Task

CONCURRENCY = 16
"""Episodes of one model in flight where the model answers batches and says no other number."""


class Runner:
    """Turns coordinates into episodes; holds this process's sandbox and models."""

    def __init__(
        self, options: Options, own_model: Callable[[str], Model | None] = lambda spec: None
    ) -> None:
        self._options = options
        self._own_model = own_model
        self._clock = CellClock(options.cell_minutes)
        self.session_over: Callable[[], str] = lambda: ""
        """Returns why nothing more is to be run, or nothing."""
        self._agents: dict[tuple[str, str], Agent | OkrtError] = {}
        try:
            self.runtime = ZygoteRuntime(
                unsafe=options.unsafe_runtime, packages=options.settings.packages
            )
        except RuntimeFailure as error:
            raise UsageError(f"--okrt-allow-package: {error}") from None

    def agent(self, spec: CaseSpec) -> Agent:
        """Returns the model of a case, loaded once in this process.

        Raises:
            okrt.errors.OkrtError: it cannot be had.
        """
        return self._agent(spec.model, spec.family.name)

    def card(self, model: ModelSpec) -> ModelCard:
        """Returns the card of a model; no weights are loaded. A server is asked, once in this
        process.

        Raises:
            okrt.errors.OkrtError: the model cannot be had.
        """
        own = self._options.own_cards.get(model.label)
        if own is not None:
            return own
        if names_server(model.given):
            return self._agent(model, "").card
        return specs.card(model, self._options.trained_under.get(model.label))

    def case(self, spec: CaseSpec) -> Case:
        """Returns the case of the coordinates.

        Raises:
            okrt.errors.OkrtError: see `agent` and `task`.
            NotRun: the session is over, for which no model is loaded any more.
        """
        if why := self.session_over():
            raise NotRun(f"not run: {why}")
        agent = self.agent(spec)
        return Case(
            spec.family,
            self.task(spec),
            spec.contract,
            agent.card,
            agent.model,
            spec.settings,
            spec.repeat,
        )

    def task(self, spec: CaseSpec) -> Task:
        """Returns the task of a case. Raises FamilyError: the family broke its protocol."""
        return specs.make_task(spec.family, spec.seed, spec.tier)

    def run(self, case: Case) -> Episode:
        """Returns the episode of one case. Raises NotRun: the time of its cell was over."""
        episode = next(run_cases([case], self.runtime, is_over=self.is_over), None)
        if episode is None:
            raise self.not_run(case)
        return episode

    def is_over(self, case: Case) -> bool:
        """Whether the session, or the time of the cell of a case is over; the cell's begins with
        the first question."""
        return bool(self._why_over(case))

    def not_run(self, case: Case) -> NotRun:
        """Returns the error of a case that is over."""
        return NotRun(f"not run: {self._why_over(case)}")

    def _why_over(self, case: Case) -> str:
        return self._clock.over(cell_of_case(case)) or self.session_over()

    def in_flight(self, spec: CaseSpec) -> int:
        """Returns how many episodes of a model are run together."""
        if self.session_over():
            return 1
        try:
            model = self.agent(spec).model
        except OkrtError:
            return 1
        if isinstance(model, ScriptedModel):
            return 1
        own = max(1, int(getattr(model, "concurrency", CONCURRENCY)))
        return self._options.serving.concurrency or own

    def release(self, spec: CaseSpec) -> None:
        """Has the model of a case give back what it holds for episodes under way: none are."""
        found = self._agents.get(_name(spec.model, spec.family.name))
        if isinstance(found, Agent) and (release := getattr(found.model, "release", None)):
            release()

    def close(self) -> None:
        self.runtime.close()
        for found in self._agents.values():
            if isinstance(found, Agent) and (close := getattr(found.model, "close", None)):
                close()

    def _agent(self, model: ModelSpec, family: str) -> Agent:
        key = _name(model, family)
        if key not in self._agents:
            try:
                self._agents[key] = self._load(model, family)
            except OkrtError as error:
                self._agents[key] = error  # asked for by every test, tried once
        found = self._agents[key]
        if isinstance(found, OkrtError):
            raise found
        return found

    def _load(self, model: ModelSpec, family: str) -> Agent:
        options = self._options
        trained_under = options.trained_under.get(model.label)
        own = self._own_model(model.given)
        if own is not None:
            return Agent(specs.own_card(model, own, trained_under), own)
        return specs.load_model(model, options.settings, family, trained_under, options.serving)


def _name(model: ModelSpec, family: str) -> tuple[str, str]:
    """What a model is kept under: an expert is another one in each family."""
    return (model.label, family if model.spec.startswith("expert:") else "")


class Ahead:
    """Episodes of the selected cases, run in batches just ahead of the tests that ask for them."""

    def __init__(
        self,
        runner: Runner,
        wanted: Iterable[CaseSpec],
        on_episode: Callable[[Episode], None],
        finished: Finished = NOTHING,
    ) -> None:
        self._runner = runner
        self._on_episode = on_episode
        self._finished = finished
        specs = list(wanted)
        self._claims = Counter(spec.key for spec in specs)
        self._done: dict[Key, Episode | OkrtError] = {}
        missing = {spec.key: spec for spec in specs if spec.key not in finished}
        self._episodes = self._run(missing.values())

    def has(self, spec: CaseSpec) -> bool:
        """Whether the case is among those wanted."""
        return spec.key in self._claims

    def take(self, spec: CaseSpec) -> Episode:
        """Returns the episode of a case; runs ahead until it is there.

        Raises:
            okrt.errors.OkrtError: its model or task cannot be had.
        """
        if spec.key in self._finished:
            return self._finished.read(spec.key)
        while spec.key not in self._done:
            episode = next(self._episodes, None)
            if episode is None:
                break
            self._done[key_of(episode)] = episode
            self._on_episode(episode)
        if spec.key not in self._done:
            raise InfrastructureError("the run ended before this case: see the first error")
        self._claims[spec.key] -= 1
        last = self._claims[spec.key] <= 0
        found = self._done.pop(spec.key) if last else self._done[spec.key]
        if isinstance(found, OkrtError):
            raise found
        return found

    def close(self) -> None:
        self._episodes.close()

    def _run(self, wanted: Iterable[CaseSpec]) -> Generator[Episode, None, None]:
        for _, group in groupby(wanted, key=lambda spec: (spec.model.label, spec.family.name)):
            specs = list(group)
            yield from run_cases(
                self._cases(specs),
                self._runner.runtime,
                self._runner.in_flight(specs[0]),
                self._is_over,
            )
            self._runner.release(specs[0])

    def _is_over(self, case: Case) -> bool:
        over = self._runner.is_over(case)
        if over:
            self._done[key_of_case(case)] = self._runner.not_run(case)
        return over

    def _cases(self, wanted: Iterable[CaseSpec]) -> Iterator[Case]:
        for spec in wanted:
            try:
                case = self._runner.case(spec)
            except OkrtError as error:
                self._done[spec.key] = error
            else:
                yield case
