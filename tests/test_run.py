"""Drivers: batches change nothing, and every failure is put down to one boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from okrt.errors import FamilyError, ModelFailure, RuntimeFailure
from okrt.run import FIRST_S, STOP_REPETITION, TRIES, Case, episode_id, run_cases
from okrt.runtimes.contracts import PERSISTENT, STATELESS
from okrt.store import decode_episode, encode_episode
from okrt.types import (
    Completion,
    Episode,
    Execution,
    ModelCard,
    Outcome,
    Settings,
    Task,
    Usage,
)
from tests.toys import FAMILY, Counter, Counting, FakeRuntime, Says, block, completion, obey

CARD = ModelCard("m", "m", "scripted")


def case(model: Any, seed: int = 0, **changes: Any) -> Case:
    made = Case(FAMILY, FAMILY.task(seed, "low"), PERSISTENT, CARD, model, Settings())
    return replace(made, **changes)


def only(episodes: Any) -> Episode:
    (episode,) = episodes
    found: Episode = episode
    return found


def test_an_episode_records_what_happened() -> None:
    runtime = FakeRuntime()
    model = Says(block("add(1)"), block("finish()"))
    episode = only(run_cases([case(model)], runtime))
    assert episode.failure is None
    assert episode.outcome == Outcome(1.0, True)
    assert episode.trajectory is not None
    assert episode.trajectory.ending == "finished"
    assert episode.timing["isolation"] == "none"
    assert episode.timing["batch_size"] == 1
    assert runtime.sessions[0].closed == 1


@pytest.mark.parametrize("in_flight", [1, 2, 3, 50])
def test_the_number_in_flight_changes_no_episode(in_flight: int) -> None:
    def episodes(n: int) -> list[Episode]:
        model = Says(*[block("add(1)")] * 3, block("finish()"))
        cases = [case(model, seed) for seed in range(5)]
        found = run_cases(cases, FakeRuntime(), n)
        return sorted((bare(e) for e in found), key=lambda e: e.id)

    assert episodes(in_flight) == episodes(1)


def bare(episode: Episode) -> Episode:
    assert episode.trajectory is not None
    turns = tuple(replace(turn, timing={}) for turn in episode.trajectory.turns)
    return replace(episode, timing={}, trajectory=replace(episode.trajectory, turns=turns))


def test_the_model_is_asked_in_batches_and_cases_are_drawn_as_places_come_free() -> None:
    model = Says(block("add(1)"), block("finish()"))
    drawn: list[int] = []

    def cases() -> Any:
        for seed in range(6):
            drawn.append(seed)
            yield case(model, seed)

    episodes = run_cases(cases(), FakeRuntime(), 2)
    next(episodes)
    assert model.batches == [2, 2]
    assert len(drawn) <= 4
    assert len(list(episodes)) == 5


def test_a_model_is_never_asked_together_with_another() -> None:
    one, other = Says(block("finish()")), Says(block("finish()"))
    cases = [case(one, 0), case(one, 1), case(other, 2), case(other, 3)]
    assert len(list(run_cases(cases, FakeRuntime(), 3))) == 4
    assert one.batches == other.batches == [2]


def test_what_is_over_is_given_up_and_the_rest_goes_on() -> None:
    """Seed 1 is over before it begins, seed 2 once it is under way."""
    runtime = FakeRuntime()
    model = Says(block("add(1)"), block("add(1)"), block("finish()"))
    cases = [case(model, seed) for seed in range(5)]

    def is_over(one: Case) -> bool:
        return one.task.seed == 1 or (one.task.seed == 2 and len(model.batches) > 1)

    found = list(run_cases(cases, runtime, 2, is_over))
    assert sorted(episode.task.seed for episode in found) == [0, 3, 4]
    assert all(episode.failure is None for episode in found)
    assert [session.closed for session in runtime.sessions] == [1, 1, 1, 1]


def test_the_usual_stop_on_repetition_is_no_part_of_the_name() -> None:
    def name(stop: int | None) -> str:
        return episode_id(case(Says(), settings=Settings(stop_repetition=stop)))

    assert name(None) == name(STOP_REPETITION)
    assert len({name(None), name(0), name(100)}) == 3


class OneAtATime(Says):
    """Answers the last conversation first, one a call."""

    def __init__(self, *texts: str) -> None:
        super().__init__(*texts)
        self.calls: list[list[int]] = []

    def answer_some(self, conversations: Any) -> list[tuple[int, Completion]]:
        self.calls.append([id(one) for one in conversations])
        last = len(conversations) - 1
        return [(last, self.generate(conversations[last:])[0])]


def test_what_a_model_has_not_answered_yet_it_is_asked_again() -> None:
    model = OneAtATime(block("add(1)"), block("finish()"))
    plain = Says(block("add(1)"), block("finish()"))
    found, expected = (
        {episode.id: episode.outcome for episode in run_cases(cases, FakeRuntime(), 3)}
        for cases in ([case(one, seed) for seed in range(5)] for one in (model, plain))
    )
    assert len(found) == 5
    assert found == expected
    assert model.calls[0][:2] == model.calls[1][:2]  # the very same objects
    assert set(model.batches) == {1}


class Broken:
    name = "broken"

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def generate(self, conversations: Any) -> list[Completion]:
        found: list[Completion] = self.answer()
        return found


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("answer", "error_type", "message"),
    [
        (raising(ModelFailure("server gone")), "ModelFailure", "server gone"),
        (raising(KeyError("k")), "KeyError", "model 'broken' raised KeyError: 'k'"),
        (raising(SystemExit(3)), "SystemExit", "model 'broken' raised SystemExit: 3"),
        (list, "ModelFailure", "one Completion for each of the 1"),
        (lambda: ["text"], "ModelFailure", "one Completion for each of the 1"),
        (
            lambda: [completion("x", finish_reason="eos")],
            "ModelFailure",
            "one Completion for each of the 1",
        ),
        (
            lambda: [completion("x", usage=Usage(np.int64(3), 1))],  # type: ignore[arg-type]
            "ModelFailure",
            "one Completion for each of the 1",
        ),
        (
            lambda: [completion("x", token_ids=np.arange(3))],
            "ModelFailure",
            "one Completion for each of the 1",
        ),
    ],
)
def test_what_a_model_raises_is_a_model_failure(
    answer: Callable[[], Any], error_type: str, message: str
) -> None:
    runtime = FakeRuntime()
    failure = only(run_cases([case(Broken(answer))], runtime)).failure
    assert failure is not None
    assert (failure.boundary, failure.error_type) == ("model", error_type)
    assert message in failure.message
    assert runtime.sessions[0].closed == 1


@pytest.mark.parametrize("answers", [[], [(0, "text")], [(1, completion("x"))], 5])
def test_a_model_that_answers_none_or_nonsense_is_a_model_failure(answers: Any) -> None:
    model = Broken(raising(AssertionError()))
    model.answer_some = lambda conversations: answers  # type: ignore[attr-defined]
    episode = only(run_cases([case(model)], FakeRuntime()))
    assert episode.failure is not None
    assert episode.failure.boundary == "model"


def test_a_failed_batch_fails_its_episodes_and_no_other() -> None:
    class Flaky(Says):
        def generate(self, conversations: Any) -> list[Completion]:
            if len(self.batches) == 0:
                self.batches.append(0)
                raise ModelFailure("once")
            return super().generate(conversations)

    model = Flaky(block("finish()"))
    episodes = list(run_cases([case(model, seed) for seed in range(4)], FakeRuntime(), 2))
    assert [e.failure is not None for e in episodes] == [True, True, False, False]


def test_a_sandbox_that_cannot_be_had_is_a_runtime_failure() -> None:
    class NoSandbox(FakeRuntime):
        open = raising(RuntimeFailure("no fork"))

    failure = only(run_cases([case(Says("hm"))], NoSandbox(), sleep=Pauses())).failure
    assert failure is not None
    assert (failure.boundary, failure.message) == ("runtime", "no fork")


def test_a_sandbox_that_breaks_in_mid_episode_is_a_runtime_failure() -> None:
    runtime, pauses = FakeRuntime(raising(RuntimeFailure("zygote gone"))), Pauses()
    episode = only(run_cases([case(Says(block("x")))], runtime, sleep=pauses))
    assert episode.failure is not None
    assert episode.failure.boundary == "runtime"
    assert (episode.trajectory, episode.outcome) == (None, None)
    assert [session.closed for session in runtime.sessions] == [1] * TRIES
    assert len(pauses.taken) == TRIES - 1


class Pauses:
    """Takes the place of `sleep`."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


class Breaking(FakeRuntime):
    """Fails so many times, in `open` or in a block, then does as it is told."""

    def __init__(self, times: int, at: str) -> None:
        super().__init__(self.execute)
        self.left, self.at = times, at

    def open(self, *arguments: Any, **keywords: Any) -> Any:
        self.fail("open")
        return super().open(*arguments, **keywords)

    def execute(self, tools: Any, code: str) -> Execution:
        self.fail("block")
        return obey(tools, code)

    def fail(self, at: str) -> None:
        if at == self.at and self.left:
            self.left -= 1
            raise RuntimeFailure("killed")


@pytest.mark.parametrize("at", ["open", "block"])
@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_sandbox_that_fails_for_a_while_leaves_no_mark(
    at: str, in_flight: int, times: int
) -> None:
    def episodes(runtime: FakeRuntime) -> list[Episode]:
        model = Says(block("add(1)"), block("finish()"))
        cases = [case(model, seed) for seed in range(4)]
        found = run_cases(cases, runtime, in_flight, sleep=pauses)
        return sorted(found, key=lambda episode: episode.id)

    pauses = Pauses()
    expected = [bare(episode) for episode in episodes(FakeRuntime())]
    found = episodes(Breaking(times, at))
    broken = [episode for episode in found if episode.failure]
    assert len(broken) <= times // TRIES
    assert [bare(e) for e in found if not e.failure] == [
        e for e in expected if e.id not in {one.id for one in broken}
    ]
    assert 1 <= len(pauses.taken) <= times
    assert all(0 < pause <= FIRST_S * 4 for pause in pauses.taken)


def test_what_fails_otherwise_is_not_tried_again() -> None:
    pauses = Pauses()
    runtime = FakeRuntime(raising(FamilyError("tool add raised OSError")))
    cases = [case(Broken(raising(ModelFailure("gone")))), case(Says(block("x")), 1)]
    found = list(run_cases(cases, runtime, sleep=pauses))
    assert sorted(e.failure.boundary for e in found if e.failure) == ["family", "model"]
    assert pauses.taken == []


@dataclass
class Odd(Counter):
    """An environment with one broken member."""

    broken: str = ""
    value: Any = None

    @property
    def tools(self) -> Any:
        return self.value if self.broken == "tools" else super().tools

    def outcome(self) -> Any:
        return self.value if self.broken == "outcome" else super().outcome()


class OddFamily(Counting):
    def __init__(self, broken: str, value: Any) -> None:
        self.broken, self.value = broken, value

    def environment(self, task: Task) -> Any:
        if self.broken == "environment":
            raise self.value or ValueError("no such thing")
        return Odd(5, broken=self.broken, value=self.value)


@pytest.mark.parametrize(
    ("broken", "value", "named"),
    [
        ("environment", None, "TaskFamily.environment raised ValueError"),
        ("environment", SystemExit(3), "TaskFamily.environment raised SystemExit: 3"),
        ("tools", None, "Environment.tools raised TypeError"),
        ("outcome", 3, "Environment.outcome must return an Outcome"),
        ("outcome", Outcome(1.5, True), "Outcome.score must lie in [0, 1], got 1.5"),
        ("outcome", Outcome(float("nan"), True), "Outcome.score must lie in [0, 1], got nan"),
        ("outcome", Outcome(0.5, True, {"a": float("inf")}), "Outcome.metrics['a']"),
        ("outcome", Outcome(0.5, True, {"a": 10**400}), "Environment.outcome raised OverflowError"),
    ],
)
def test_a_family_that_breaks_its_protocol_is_named(broken: str, value: Any, named: str) -> None:
    made = case(Says(block("finish()")), family=OddFamily(broken, value))
    failure = only(run_cases([made], FakeRuntime())).failure
    assert failure is not None
    assert failure.boundary == "family"
    assert named in failure.message


@pytest.mark.parametrize(
    "outcome",
    [Outcome(np.float64(0.5), np.bool_(True), {"a": np.int64(3)}), Outcome(1, 1, {"a": 3})],  # type: ignore[arg-type, dict-item]
)
def test_an_outcome_is_recorded_as_it_is_read_back(outcome: Outcome) -> None:
    made = case(Says(block("finish()")), family=OddFamily("outcome", outcome))
    episode = only(run_cases([made], FakeRuntime()))
    assert episode.failure is None
    line = encode_episode(episode)
    assert decode_episode(line).outcome == episode.outcome
    assert encode_episode(decode_episode(line)) == line


def test_a_tool_that_breaks_is_a_family_failure() -> None:
    runtime = FakeRuntime(raising(FamilyError("tool add raised OSError")))
    failure = only(run_cases([case(Says(block("x")))], runtime)).failure
    assert failure is not None
    assert failure.boundary == "family"


def test_closing_the_iterator_closes_the_sessions() -> None:
    runtime = FakeRuntime(lambda tools, code: Execution("ok"))
    model = Says(block("x"))
    cases = [case(Says(block("finish()"))), *[case(model, seed) for seed in range(3)]]
    episodes = run_cases(cases, runtime, 3)
    next(episodes)
    episodes.close()  # type: ignore[attr-defined]
    assert all(session.closed for session in runtime.sessions)


def test_an_episode_id_names_everything_but_the_place() -> None:
    base = case(Says("hm"))
    assert episode_id(base) == episode_id(case(Says("other")))
    changed = [
        case(base.model, 1),
        replace(base, repeat=1),
        replace(base, contract=STATELESS),
        replace(base, card=replace(CARD, label="n")),
        replace(base, card=replace(CARD, digest="d")),
        replace(base, settings=Settings(temperature=1.0)),
        replace(base, settings=Settings(cue="true")),
    ]
    assert len({episode_id(c) for c in [base, *changed]}) == len(changed) + 1
    moved = replace(base, card=replace(CARD, digest="d", spec="a/m"))
    assert episode_id(moved) == episode_id(
        replace(moved, card=replace(CARD, digest="d", spec="b/m"))
    )


def test_an_empty_reply_is_data() -> None:
    empty = completion("")
    model = Broken(lambda: [empty])
    episode = only(run_cases([case(model, settings=Settings(max_turns=2))], FakeRuntime()))
    assert episode.failure is None
    assert episode.trajectory is not None
    assert episode.trajectory.ending == "max_turns"
