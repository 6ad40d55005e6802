"""The cases of an evaluation, played on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from okrt.engines.far import Cluster, Job, NotPlayed, crew
from okrt.engines.runner import Runner
from okrt.errors import InfrastructureError, ModelFailure, OkrtError, UsageError
from okrt.models.endpoint import names_server, pool
from okrt.plan import Key, key_of
from okrt.redact import redact
from okrt.run import Case, failed, run_cases
from okrt.runtimes.contracts import PERSISTENT
from okrt.salt import PrivateFamily
from okrt.selection.arguments import Options
from okrt.selection.cases import CaseSpec
from okrt.specs import ModelSpec, make_task
from okrt.types import Completion, Conversation, Episode, Limits, ModelCard


def play_cases(
    cases: Sequence[CaseSpec],
    options: Options,
    cards: Mapping[str, ModelCard],
    cluster: Cluster,
    run: Path,
    is_over: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda line: None,
) -> Generator[Episode | NotPlayed, None, None]:
    """Yields something of each of an evaluation's cases, as they end on the workers of a cluster.

    What is in `okrt.engines.shards.left(run)` when it is broken off is still to be taken up.

    Args:
        cards: of the models, by label.
        run: the run directory, for the shards.

    Raises:
        OkrtError: the cluster or a worker cannot be had.
    """
    without = replace(options, salt=None, gates=None)  # neither leaves this process
    digests = {label: card.digest for label, card in cards.items()}
    job = Job(
        player=partial(CasePlayer, without, digests),
        key=key_of_spec,
        group=lambda spec: (spec.model.label, spec.family.name),
        lost=lambda spec, why: lost_case(spec, cards[spec.model.label], why),
        run=run.absolute(),
        gpus=has_checkpoint(options.models),
        is_over=is_over,
        tell=tell,
    )
    with crew(job, cluster) as workers:
        yield from workers.play(list(map(sendable, cases)))


def sendable(case: CaseSpec) -> CaseSpec:
    """Returns a case for other machines: of private tasks it knows its own alone, no secret."""
    if not isinstance(case.family, PrivateFamily):
        return case
    return replace(case, family=case.family.alone(case.seed, case.tier))


class CasePlayer:
    """Plays the cases of an evaluation with a sandbox and models of its own."""

    def __init__(self, options: Options, digests: Mapping[str, str | None], number: int) -> None:
        """Holds nothing yet.

        Args:
            digests: of the models, by label, as the process in charge found them.
            number: of the worker, by which it takes one server of each pool.
        """
        self._runner = Runner(options)
        self._digests, self._number = digests, number

    def check(self) -> None:
        self._runner.runtime.open(PERSISTENT, {}, Limits()).close()

    def play(self, cases: Sequence[CaseSpec]) -> Iterator[Episode | NotPlayed]:
        specs = [replace(case, model=one_server(case.model, self._number)) for case in cases]
        left: dict[Key, OkrtError | None] = dict.fromkeys(map(key_of_spec, specs))
        runner = self._runner
        ready = self._cases(specs, left)
        in_flight = runner.in_flight(specs[0])
        for episode in run_cases(ready, runner.runtime, in_flight, runner.is_over):
            del left[key_of(episode)]
            yield episode
        runner.release(specs[0])  # a chunk is of one model
        for key, error in left.items():
            if error is None:
                yield NotPlayed(key, "time", "the time of its cell was over")
            else:
                yield NotPlayed(key, "error", str(error))

    def close(self) -> None:
        self._runner.close()

    def _cases(
        self, specs: Sequence[CaseSpec], left: dict[Key, OkrtError | None]
    ) -> Iterator[Case]:
        for spec in specs:
            try:
                case = self._runner.case(spec)
            except OkrtError as error:
                left[key_of_spec(spec)] = error
            else:
                self._check_digest(case)
                yield case

    def _check_digest(self, case: Case) -> None:
        card = case.card
        if self._digests.get(card.label, card.digest) != card.digest:
            raise UsageError(
                f"{card.spec}: the files of this checkpoint are others than on the machine in "
                "charge; copy it again, or name a directory that all machines share"
            )


def lost_case(spec: CaseSpec, card: ModelCard, why: str) -> Episode:
    """Returns the record of a case whose workers were lost."""
    task = make_task(spec.family, spec.seed, spec.tier)
    case = Case(spec.family, task, spec.contract, card, _Nobody(), spec.settings, spec.repeat)
    return failed(case, InfrastructureError(why), "worker")


class _Nobody:
    """The model of a case that is only recorded."""

    name = "nobody"

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        raise ModelFailure("nobody was asked")


def key_of_spec(spec: CaseSpec) -> Key:
    """Returns the coordinates of a case's episode."""
    return spec.key


def one_server(model: ModelSpec, number: int) -> ModelSpec:
    """Returns the spec of the server that a worker asks: the pool's go round by its number."""
    if not names_server(model.given):
        return model
    servers = pool(model.given)
    given = servers[number % len(servers)]
    return replace(model, given=given, spec=redact(given))


def has_checkpoint(models: Iterable[ModelSpec]) -> bool:
    """Whether a model is loaded where it is asked."""
    return any(
        not names_server(model.given)
        and not model.spec.startswith("expert:")
        and model.path.is_dir()
        for model in models
    )
