"""Runs the blocks of a recorded episode again, through the driver that every episode goes through.

A model that is none gives the recorded completions as long as it is asked what was asked in the
record. What the driver makes of them is held against the record (`okrt.replay.comparing`), and a
departure against one more replay under the recorded contract and cap: what departs there as well
says nothing about the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from okrt import specs
from okrt.errors import (
    ContractError,
    FamilyError,
    InfrastructureError,
    RuntimeFailure,
    SpecError,
    UsageError,
)
from okrt.prompts import tool_cap
from okrt.replay.comparing import demands, differences, sources
from okrt.replay.nouns import Replay, ReplayedTurn
from okrt.replay.tasks import check_task, family_of
from okrt.run import Case, run_cases
from okrt.store import decode_episode, encode_episode
from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Environment,
    Episode,
    Failure,
    Limits,
    Message,
    Outcome,
    Runtime,
    Session,
    Split,
    Task,
    TaskFamily,
    Trajectory,
    Usage,
    render,
)

_ERRORS = {"family": FamilyError, "contract": ContractError}
_SILENCE = Completion("", "context", Usage())
"""What a model says that has nothing to say: it makes no turn, and ends the episode."""


def replay(
    episode: Episode,
    contract: Contract,
    limits: Limits,
    runtime: Runtime,
    *,
    family: TaskFamily | None = None,
    recorded_under: Contract | None = None,
) -> Replay:
    """Returns what an episode's blocks do under a contract and limits, beside what was recorded.

    Args:
        runtime: it must offer the packages of the episode's settings.
        family: of the task; None: the one that okrt knows by its name.
        recorded_under: the episode's own contract; None: the one that okrt knows by its name. If
            there is none such, whether a departure is steady is not known.

    Raises:
        UsageError: infrastructure broke the episode off; its task is no longer generated; its
            prompt set has no text for the contract.
        InfrastructureError: the sandbox or the family failed.
    """
    recorded = decode_episode(encode_episode(episode))  # as a file gives it back
    if recorded.trajectory is None or recorded.failure is not None:
        raise UsageError(
            f"episode {episode.id} was broken off by infrastructure: nothing to replay"
        )
    family = family_of(recorded.task, family)
    check_task(recorded.task, family)
    cap = tool_cap(recorded.task, recorded.settings)
    own = (contract.name, limits.tool_cap) == (recorded.contract, cap)
    trajectory = _played(_Case(recorded, contract, limits, family, own), runtime)
    turns = differences(recorded, trajectory)
    own_contract = recorded_under or _by_name(recorded.contract, contract)
    if own:
        turns = _judged(recorded, turns, turns)
    elif own_contract is not None:
        control = _Case(recorded, own_contract, replace(limits, tool_cap=cap), family, True)
        turns = _controlled(turns, control, runtime)
    return _noun(recorded, contract, limits, trajectory, cap, turns)


def _noun(
    recorded: Episode,
    contract: Contract,
    limits: Limits,
    found: Trajectory,
    cap: int,
    turns: tuple[ReplayedTurn, ...],
) -> Replay:
    there = recorded.trajectory
    assert there is not None
    return Replay(
        episode_id=recorded.id,
        task_id=recorded.task.id,
        family=recorded.task.family,
        tier=recorded.task.tier,
        seed=recorded.task.seed,
        repeat=recorded.repeat,
        model=recorded.model.label,
        recorded_contract=recorded.contract,
        recorded_cap=cap,
        recorded_turns=len(there.turns),
        recorded_demand=demands(there.turns),
        contract=contract.name,
        tool_cap=limits.tool_cap,
        prompt_same=(found.prompt, found.function) == (there.prompt, there.function),
        turns=turns,
    )


def _by_name(name: str, asked: Contract) -> Contract | None:
    if asked.name == name:
        return asked
    try:
        return specs.contract(name)
    except SpecError:
        return None


@dataclass(frozen=True, slots=True)
class _Case:
    """What is to be run."""

    recorded: Episode
    contract: Contract
    limits: Limits
    family: TaskFamily
    to_the_end: bool
    """Whether later blocks are run although the conversation has departed."""
    turns: int | None = None
    """How many at most; None: all."""


def _controlled(
    turns: tuple[ReplayedTurn, ...], control: _Case, runtime: Runtime
) -> tuple[ReplayedTurn, ...]:
    """Returns the turns, of those that depart known whether they are steady."""
    departed = [turn.number for turn in turns if turn.departs]
    if not departed:
        return turns
    control = replace(control, turns=departed[-1])
    again = differences(control.recorded, _played(control, runtime))
    return _judged(control.recorded, turns, again)


def _judged(
    recorded: Episode, turns: tuple[ReplayedTurn, ...], own: Sequence[ReplayedTurn]
) -> tuple[ReplayedTurn, ...]:
    """Returns the turns, of those that depart known whether they are steady, and a hint why not.

    Args:
        own: the turns of a replay under the recorded contract and cap.
    """
    assert recorded.trajectory is not None
    judged = []
    for turn in turns:
        if turn.departs:
            steady = turn.number <= len(own) and _is_steady(turn, own[turn.number - 1])
            codes = [one.code or "" for one in recorded.trajectory.turns[: turn.number]]
            named = [] if steady else sources("\n".join(codes))
            hint = f"; the blocks name {', '.join(named)}" if named else ""
            turn = replace(turn, steady=steady, detail=turn.detail + hint)
        judged.append(turn)
    return tuple(judged)


def _is_steady(turn: ReplayedTurn, own: ReplayedTurn) -> bool:
    """Whether a departure is the contract's or the cap's. A variable is lost, or there, whatever
    else of the block no two runs share."""
    if turn.departs in ("lost", "found"):
        return own.departs != turn.departs
    return own.departs is None


def _played(case: _Case, runtime: Runtime) -> Trajectory:
    """Returns the trajectory, which ends in `context` where no more completions were given.

    Raises:
        InfrastructureError: it was broken off.
    """
    recorded, cap = case.recorded, case.limits.tool_cap
    assert recorded.trajectory is not None
    settings = recorded.settings
    if tool_cap(recorded.task, settings) != cap:
        settings = replace(settings, tool_cap=cap)
    player = _Player(recorded.trajectory, case.to_the_end, case.turns)
    one = Case(
        _Unjudged(case.family), recorded.task, case.contract, recorded.model, player, settings,
        recorded.repeat,
    )  # fmt: skip
    (found,) = run_cases([one], _Limited(runtime, case.limits))
    if found.trajectory is None:
        raise _error(found.failure)
    stored = decode_episode(encode_episode(found)).trajectory
    assert stored is not None
    return stored


def _error(failure: Failure | None) -> InfrastructureError:
    assert failure is not None
    return _ERRORS.get(failure.boundary, RuntimeFailure)(failure.message)


class _Player:
    """Says what was said, to whom asks what was asked."""

    name = "replay"

    def __init__(self, recorded: Trajectory, to_the_end: bool, turns: int | None) -> None:
        self._turns = recorded.turns[:turns]
        self._to_the_end = to_the_end

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        return [self._next(conversation) for conversation in conversations]

    def _next(self, conversation: Conversation) -> Completion:
        number = len(conversation.completions)
        more = number < len(self._turns)
        if more and (self._to_the_end or self._was_asked(conversation.messages, number)):
            return self._turns[number].completion
        return _SILENCE

    def _was_asked(self, messages: Sequence[Message], number: int) -> bool:
        """The prompt is left out: it is told apart from what follows."""
        return list(messages[1:]) == render("", self._turns[:number])[1:]


@dataclass(frozen=True, slots=True)
class _Limited:
    """A runtime with other limits than the driver's, but for its cap."""

    inner: Runtime
    limits: Limits

    @property
    def isolation(self) -> str:
        return self.inner.isolation

    @property
    def landlock_abi(self) -> int | None:
        return self.inner.landlock_abi

    def open(
        self,
        contract: Contract,
        tools: Mapping[str, Callable[..., Any]],
        limits: Limits,
        seed: str = "",
    ) -> Session:
        return self.inner.open(contract, tools, self.limits, seed)

    def close(self) -> None:
        """The runtime is its owner's to close."""


@dataclass(frozen=True, slots=True)
class _Unjudged:
    """A family whose environments judge nothing: half an episode has no score."""

    inner: TaskFamily

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def tiers(self) -> tuple[str, ...]:
        return self.inner.tiers

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        return self.inner.task(seed, tier, split)

    def environment(self, task: Task) -> Environment:
        return _Judgeless(self.inner.environment(task))


@dataclass(frozen=True, slots=True)
class _Judgeless:
    inner: Environment

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        return self.inner.tools

    @property
    def finished(self) -> bool:
        return self.inner.finished

    def outcome(self) -> Outcome:
        return Outcome(0.0, False)
