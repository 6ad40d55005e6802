"""Drivers over many rollouts: the only place where failures become records.

A failure is put down to one boundary, once: what a model raises is `model`, a sandbox that cannot
be had is `runtime`, a family that breaks its protocol is `family`. What a model's code does is
data.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from random import Random
from time import perf_counter, sleep
from typing import Any, TypeVar, get_args

from okrt.episode import Rollout, rollout
from okrt.errors import (
    ContractError,
    FamilyError,
    InfrastructureError,
    ModelFailure,
    UsageError,
)
from okrt.prompts import prompt_digest, tool_cap
from okrt.redact import without_secrets
from okrt.types import (
    Boundary,
    Completion,
    Contract,
    Conversation,
    Environment,
    Episode,
    Failure,
    FinishReason,
    Limits,
    Model,
    ModelCard,
    Outcome,
    Runtime,
    Session,
    Settings,
    Task,
    TaskFamily,
    Trajectory,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Case:
    """One episode to be run."""

    family: TaskFamily
    task: Task
    contract: Contract
    card: ModelCard
    model: Model
    settings: Settings
    repeat: int = 0


def episode_id(case: Case) -> str:
    """Returns 16 hex digits that name the episode on any machine, before it is run.

    They depend on the task, repeat, contract, model (its label, and its weights or spec; of a
    server's, the name alone), settings and prompt texts; not on a path, an address, a time or the
    order of running.
    """
    return name_of(case.task, case.repeat, case.contract, case.card, case.settings)


def name_of(
    task: Task, repeat: int, contract: Contract, card: ModelCard, settings: Settings
) -> str:
    """Returns the id of the episode with these coordinates: see `episode_id`."""
    named = {
        "task": task.id,
        "repeat": repeat,
        "contract": contract.name,
        "model": [card.label, card.digest or unaddressed(card.spec, card.kind)],
        "settings": identity(settings),
        "prompt": prompt_digest(task, contract, settings),
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]


def unaddressed(spec: str, kind: str) -> str:
    """Returns a model's spec; of a server's model its name, wherever the server is."""
    return spec.partition("@")[0] if kind == "server" else spec


STOP_REPETITION = 512
"""`Settings.stop_repetition` unless the user says otherwise."""


TRIES = 3
"""Of a case whose sandbox fails; a model on a server has its own patience, in okrt.models."""
FIRST_S = 0.2
"""The longest pause before the second try; before the third it may be four times as long."""


@cache
def identity(settings: Settings) -> dict[str, Any]:
    """Returns what names an episode. The usual stop on repetition is left out: an episode has the
    name that it had before there was one."""
    plain = asdict(settings)
    if settings.stop_repetition in (None, STOP_REPETITION):
        del plain["stop_repetition"]
    return plain


def run_cases(
    cases: Iterable[Case],
    runtime: Runtime,
    in_flight: int = 1,
    is_over: Callable[[Case], bool] = lambda case: False,
    sleep: Callable[[float], object] = sleep,
) -> Iterator[Episode]:
    """Yields the episodes of the cases as they end, up to `in_flight` of one model at a time.

    Cases are drawn as places come free, one ahead. Closing the iterator closes the sessions that
    are open. Failures come as episodes, of the sandbox after `TRIES` from the beginning. A case for
    which `is_over` is given up: this is asked when it is drawn, and each time before the model is.

    Raises:
        okrt.errors.UsageError: the settings name no prompt.
    """
    source = (case for case in cases if not is_over(case))
    again = _Again(sleep)
    upcoming = next(source, None)
    live: list[_Live] = []
    try:
        while upcoming or live:
            while upcoming and len(live) < in_flight and _same_model(live, upcoming):
                started = _start(upcoming, runtime)
                if isinstance(started, _Live):
                    live.append(started)
                elif not again.takes(upcoming, started):
                    yield started
                upcoming = again.draw() or next(source, None)
            live = _going_on(live, is_over)
            ended = _step(live)
            live = [one for one in live if one.episode is None]
            yield from (episode for case, episode in ended if not again.takes(case, episode))
            upcoming = upcoming or again.draw()
    finally:
        for one in live:
            one.close()


class _Again:
    """Cases whose sandbox failed, each with tries left: what killed it may have been an accident.

    They pause together, so that many in flight wait no longer than one.
    """

    def __init__(self, sleep: Callable[[float], object]) -> None:
        self._sleep = sleep
        self._tries: Counter[str] = Counter()
        self._failed: list[tuple[Case, float]] = []
        self._rested: list[Case] = []

    def takes(self, case: Case, episode: Episode) -> bool:
        """Whether this episode is not the last word on its case."""
        if episode.failure is None or episode.failure.boundary != "runtime":
            return False
        self._tries[episode.id] += 1
        tries = self._tries[episode.id]
        if tries >= TRIES:
            return False
        jitter = Random(f"{episode.id}/{tries}").random()
        self._failed.append((case, FIRST_S * 4 ** (tries - 1) * (1 + jitter) / 2))
        return True

    def draw(self) -> Case | None:
        """Returns the next of them, after its pause; None where there is none."""
        if self._failed and not self._rested:
            self._sleep(max(pause for _, pause in self._failed))
            self._rested = [case for case, _ in self._failed]
            self._failed = []
        return self._rested.pop(0) if self._rested else None


def failed(case: Case, error: Exception, boundary: Boundary) -> Episode:
    """Returns the record of a case that infrastructure kept from ending."""
    name = type(error).__name__
    if error.__cause__ is not None and isinstance(error, InfrastructureError):
        name = type(error.__cause__).__name__
    message = str(error) if isinstance(error, InfrastructureError) else _one_line(error)
    failure = Failure(boundary, name, without_secrets(message))
    return _record(case, episode_id(case), None, None, failure, {})


@dataclass(frozen=True, slots=True)
class _Guarded:
    """An environment whose faults are family errors."""

    inner: Environment

    @property
    def tools(self) -> dict[str, Callable[..., Any]]:
        return guard_family("Environment.tools", lambda: dict(self.inner.tools))

    @property
    def finished(self) -> bool:
        return guard_family("Environment.finished", lambda: bool(self.inner.finished))

    def outcome(self) -> Outcome:
        outcome = guard_family("Environment.outcome", self.inner.outcome)
        check_outcome(outcome)
        return outcome


@dataclass(slots=True)
class _Live:
    """A rollout under way. `conversation` is what the model has to answer next."""

    case: Case
    id: str
    environment: Environment
    tools: tuple[str, ...]
    session: Session
    rollout: Rollout
    conversation: Conversation
    runtime: Runtime
    started: float
    model_s: float = 0.0
    driven_s: float = 0.0
    """Of harness and sandbox, without the turn under way."""
    advanced: float = 0.0
    """When that turn's reply had come."""
    batch_sizes: list[int] = field(default_factory=list)
    episode: Episode | None = None

    def close(self) -> None:
        self.rollout.close()
        self.session.close()


def _going_on(live: list[_Live], is_over: Callable[[Case], bool]) -> list[_Live]:
    """Gives up those that are over; returns the others."""
    kept = []
    for one in live:
        if is_over(one.case):
            one.close()
        else:
            kept.append(one)
    return kept


def _same_model(live: list[_Live], case: Case) -> bool:
    return not live or live[-1].case.model is case.model


def _start(case: Case, runtime: Runtime) -> _Live | Episode:
    started = perf_counter()
    try:
        environment = _Guarded(
            guard_family("TaskFamily.environment", lambda: case.family.environment(case.task))
        )
        tools = environment.tools
        limits = Limits(tool_cap=tool_cap(case.task, case.settings))
        seed = f"{case.task.id}/{case.repeat}"
        session = runtime.open(case.contract, tools, limits, seed)
    except Exception as error:
        return failed(case, error, boundary_of(error))
    id = episode_id(case)
    loop = rollout(
        case.task,
        environment,
        case.contract,
        session,
        case.settings,
        repeat=case.repeat,
        episode_id=id,
    )
    try:
        conversation = next(loop)
    except BaseException:
        session.close()
        raise
    names = tuple(sorted(tools))
    live = _Live(case, id, environment, names, session, loop, conversation, runtime, started)
    live.driven_s = perf_counter() - started
    return live


def _step(live: list[_Live]) -> list[tuple[Case, Episode]]:
    """Has the model answer conversations; returns the episodes that ended by it, and of what."""
    if not live:
        return []
    started = perf_counter()
    try:
        answers = _answers(live[0].case.model, [one.conversation for one in live])
    except ModelFailure as error:
        for one in live:
            _end(one, failed(one.case, error, "model"))
        return _ended(live)
    share = (perf_counter() - started) / len(live)
    for one in live:
        one.model_s += share
    for place, answer in answers:
        one = live[place]
        one.batch_sizes.append(len(live))
        if isinstance(answer, ModelFailure):
            _end(one, failed(one.case, answer, "model"))
        else:
            _advance(one, answer)
    return _ended(live)


def _ended(live: list[_Live]) -> list[tuple[Case, Episode]]:
    return [(one.case, one.episode) for one in live if one.episode]


def _answers(
    model: Model, conversations: list[Conversation]
) -> list[tuple[int, Completion | ModelFailure]]:
    """Returns at least one of the answers, each with its conversation's place: all of them, but
    for a model that goes on with the others when it is asked again."""
    some = getattr(model, "answer_some", None)
    try:
        answers = some(conversations) if some else list(enumerate(model.generate(conversations)))
    except ModelFailure:
        raise
    except (Exception, SystemExit) as error:
        raise ModelFailure(f"model {model.name!r} raised {_one_line(error)}") from error
    if not _is_answered(answers, len(conversations), all_of_them=some is None):
        method = "generate" if some is None else "answer_some"
        asked = "one Completion for each" if some is None else "at least one Completion"
        raise ModelFailure(
            f"model {model.name!r}: {method} must return {asked} of the {len(conversations)} "
            f"conversations, got {answers!r:.200}"
        )
    return list(answers)


def _is_answered(answers: object, asked: int, *, all_of_them: bool) -> bool:
    """Whether these are pairs of a place, each another one, and an answer; and enough."""
    if not isinstance(answers, list):
        return False
    places = set()
    for answer in answers:
        match answer:
            case (int(place), ModelFailure()) if place in range(asked):
                places.add(place)
            case (int(place), Completion() as one) if place in range(asked) and _is_storable(one):
                places.add(place)
            case _:
                return False
    return len(places) == len(answers) and (len(places) == asked if all_of_them else bool(places))


def _is_storable(answer: Completion) -> bool:
    """Whether a completion can be read back: of the types that it declares, none of numpy's."""
    used = answer.usage
    ids = answer.token_ids
    if not isinstance(ids, tuple | list | None):
        return False
    counts = (
        used.prompt_tokens, used.completion_tokens, used.reasoning_tokens, used.cached_tokens
    )  # fmt: skip
    return (
        type(answer.text) is str
        and answer.finish_reason in get_args(FinishReason)
        and all(n is None or type(n) is int for n in counts)
        and all(type(n) is int for n in ids or ())
    )


def _advance(one: _Live, completion: Completion) -> None:
    one.advanced = perf_counter()
    try:
        one.conversation = one.rollout.send(completion)
        one.driven_s += perf_counter() - one.advanced
    except StopIteration as stop:
        _end(one, _judged(one, stop.value))
    except UsageError:
        raise
    except Exception as error:
        _end(one, failed(one.case, error, boundary_of(error)))


def _judged(one: _Live, trajectory: Trajectory) -> Episode:
    try:
        outcome = guard_family("Environment.outcome", lambda: _plain(one.environment.outcome()))
    except FamilyError as error:
        return failed(one.case, error, "family")
    now = perf_counter()
    sandbox_s = sum(turn.timing.get("sandbox_s", 0.0) for turn in trajectory.turns)
    timing: dict[str, float | str] = {
        "wall_s": now - one.started,
        "model_s": one.model_s,
        "sandbox_s": sandbox_s,
        "harness_s": max(0.0, one.driven_s + now - one.advanced - sandbox_s),
        "batch_size": sum(one.batch_sizes) / len(one.batch_sizes),
        "isolation": one.runtime.isolation,
    }
    if one.runtime.landlock_abi is not None:
        timing["landlock_abi"] = one.runtime.landlock_abi
    if trajectory.usage.cached_tokens is not None:
        timing["cached_tokens"] = trajectory.usage.cached_tokens
    return _record(one.case, one.id, trajectory, outcome, None, timing, one.tools)


def _plain(outcome: Outcome) -> Outcome:
    """Returns the outcome as it is read back: of Python's own types, not of numpy's."""
    metrics = {key: v if v is None else float(v) for key, v in outcome.metrics.items()}
    return replace(
        outcome, score=float(outcome.score), solved=bool(outcome.solved), metrics=metrics
    )


def _end(one: _Live, episode: Episode) -> None:
    one.episode = episode
    one.close()


def _record(
    case: Case,
    id: str,
    trajectory: Trajectory | None,
    outcome: Outcome | None,
    failure: Failure | None,
    timing: dict[str, float | str],
    tools: tuple[str, ...] = (),
) -> Episode:
    return Episode(
        id=id,
        task=case.task,
        repeat=case.repeat,
        contract=case.contract.name,
        model=case.card,
        settings=case.settings,
        prompt_digest=prompt_digest(case.task, case.contract, case.settings),
        trajectory=trajectory,
        outcome=outcome,
        failure=failure,
        timing=timing,
        tools=tools,
    )


def boundary_of(error: Exception) -> Boundary:
    """Returns the boundary that an error is put down to: what is neither a model's, nor a family's,
    nor a contract's came from running the code."""
    if isinstance(error, ModelFailure):
        return "model"
    if isinstance(error, ContractError):
        return "contract"
    return "family" if isinstance(error, FamilyError) else "runtime"


def guard_family(member: str, call: Callable[[], T]) -> T:
    """Returns what a member of a family returns; whatever it raises becomes a FamilyError."""
    try:
        return call()
    except FamilyError:
        raise
    except (Exception, SystemExit) as error:
        raise FamilyError(f"{member} raised {_one_line(error)}") from error


def check_outcome(outcome: Outcome) -> None:
    """Raises FamilyError, naming the member, unless the outcome keeps its protocol."""
    if not isinstance(outcome, Outcome):
        raise FamilyError(f"Environment.outcome must return an Outcome, got {outcome!r:.200}")
    if not (isinstance(outcome.score, int | float) and 0 <= outcome.score <= 1):
        raise FamilyError(f"Outcome.score must lie in [0, 1], got {outcome.score!r:.200}")
    for key, value in outcome.metrics.items():
        if value is not None and not math.isfinite(value):
            raise FamilyError(f"Outcome.metrics[{key!r}] must be finite or None, got {value!r}")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
