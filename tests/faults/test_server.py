"""A server that breaks down: every episode ends scored or recorded, and faults move no score."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from okrt import specs
from okrt.analysis.rows import row
from okrt.errors import ModelFailure
from okrt.models.endpoint import endpoint
from okrt.models.openai_server import ServerModel
from okrt.models.patience import Patience
from okrt.run import Case, run_cases
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Completion, Conversation, Episode, Message, Model, ModelCard, Settings
from tests.faults.server import FAULTS, FaultServer
from tests.toys import FAMILY, FakeRuntime, block

HASTY = Patience(
    tries=12, first_s=0.01, longest_s=0.04, request_s=1.0, meeting_s=5.0, meeting_tries=9
)
SETTINGS = Settings(max_turns=6)
NOT_SHARED = (
    "timing", "model_kind", "model", "model_spec", "episode_id", "tokenizer", "trained_under",
)  # fmt: skip


def served(server: FaultServer, patience: Patience = HASTY, **changes: Any) -> ServerModel:
    values: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": 2048, "thinking": "off"}
    return ServerModel(endpoint(server.spec), patience=patience, **(values | changes))


@contextmanager
def serving(
    server: FaultServer, patience: Patience = HASTY, **changes: Any
) -> Iterator[ServerModel]:
    with server:
        model = served(server, patience, **changes)
        try:
            yield model
        finally:
            model.close()


def ask(text: str, seed: int = 0) -> Conversation:
    return Conversation((Message("user", text),), seed=seed)


def echo(conversation: Conversation) -> str:
    return f"you said {conversation.messages[-1].content}"


# -- the main promise -----------------------------------------------------------------------------


def knapsacks(model: Model, card: ModelCard, seeds: range) -> list[dict[str, Any]]:
    """Returns the rows of an expert's episodes, without what differs between it and a server."""
    family = specs.family("opaque_knapsack")
    with ZygoteRuntime() as runtime:
        cases = [
            Case(family, family.task(seed, "micro"), contract, card, model, Settings())
            for seed in seeds
            for contract in map(specs.contract, specs.DEFAULT_CONTRACTS)
        ]
        rows = [msgspec.to_builtins(row(one)) for one in run_cases(cases, runtime, in_flight=32)]
    for one in rows:
        for name in NOT_SHARED:
            del one[name]
    return sorted(rows, key=lambda one: (one["seed"], one["contract"]))


def test_under_faults_the_rows_are_those_without() -> None:
    seeds = range(6)
    agent = specs.load_model(specs.model_spec("expert:persistent"), Settings(), "opaque_knapsack")
    expected = knapsacks(agent.model, agent.card, seeds)
    server = FaultServer(specs.EXPERTS["opaque_knapsack"]("persistent"), share=0.3)
    with serving(server) as model:
        found = knapsacks(model, ModelCard("m", "m", "server"), seeds)
    assert found == expected
    assert {one["failure"] for one in found} == {None}
    assert len(server.met) > 4, "the faults were met"


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "slow"])
def test_a_fault_that_stays_is_a_recorded_failure(fault: str) -> None:
    brief = replace(HASTY, tries=3, request_s=0.3 if fault == "never" else 1.5)
    server = FaultServer(echo, faults=(fault,))
    with serving(server, brief) as model:
        server.share = 1.0
        (episode,) = counting(model, range(1))
    assert episode.outcome is None
    assert episode.failure is not None
    assert episode.failure.boundary == "model"
    assert f"m at {server.url}" in episode.failure.message
    assert "(tried 3 times)" in episode.failure.message
    assert server.met[fault] == 3


def counting(model: Model, seeds: range, in_flight: int = 32) -> list[Episode]:
    card = ModelCard("m", "m", "server")
    cases = [
        Case(FAMILY, FAMILY.task(seed, "low"), specs.CONTRACTS["stateless"], card, model, SETTINGS)
        for seed in seeds
    ]
    return list(run_cases(cases, FakeRuntime(), in_flight))


def finish(conversation: Conversation) -> str:
    return block("finish()")


def test_what_no_retry_can_mend_is_a_failure_at_once() -> None:
    server = FaultServer(finish)
    with serving(server) as model:
        server.change = lambda request, answer: (403, {"detail": "not\nyou"})
        before = len(server.requests)
        (episode,) = counting(model, range(1))
    assert episode.failure is not None
    assert episode.failure.error_type == "PermissionDeniedError"
    assert episode.failure.message == f"m at {server.url}: 403: not you"
    assert len(server.requests) == before + 1


def test_an_answer_that_cannot_be_had_fails_its_episode_alone() -> None:
    def change(request: dict[str, Any], answer: dict[str, Any]) -> tuple[int, Any]:
        return (500, {}) if "Count to 3." in request["messages"][0]["content"] else (200, answer)

    with serving(FaultServer(finish, change=change), replace(HASTY, tries=3)) as model:
        episodes = counting(model, range(5))
    failed = [one.task.private["target"] for one in episodes if one.failure is not None]
    assert failed == [3]
    assert sum(one.outcome is not None for one in episodes) == 4


def test_a_server_that_is_gone_is_not_waited_out_by_every_episode() -> None:
    server = FaultServer(finish)
    with serving(server, replace(HASTY, tries=5)) as model:
        server.share, server.faults = 1.0, ("503",)
        before = len(server.requests)
        episodes = counting(model, range(40), in_flight=1)
        assert len(server.requests) - before == 5 + 39
        server.share = 0.0
        assert [one.failure for one in counting(model, range(1))] == [None]
    assert all(one.failure is not None for one in episodes)


# -- many at a time -------------------------------------------------------------------------------


def test_thirty_two_episodes_are_in_flight_in_one_process_over_kept_connections() -> None:
    gate = threading.Barrier(32)

    def together(conversation: Conversation) -> str:
        if len(conversation.messages) == 1 and "Count" in conversation.messages[0].content:
            gate.wait(20)
        return block("add(1)") if len(conversation.messages) < 9 else block("finish()")

    server = FaultServer(together)
    with serving(server, replace(HASTY, request_s=30)) as model:
        episodes = counting(model, range(32))
        own = [one for one in threading.enumerate() if one.name == "okrt-server"]
    assert all(one.outcome is not None for one in episodes)
    assert server.peak == 32
    assert len(own) == 1
    assert server.connections <= 32


def test_a_fast_reply_does_not_wait_for_a_slow_one() -> None:
    held = threading.Event()

    def respond(conversation: Conversation) -> str:
        if conversation.messages[-1].content == "slow":
            held.wait(20)
        return echo(conversation)

    server = FaultServer(respond)
    with serving(server, replace(HASTY, request_s=30)) as model:
        slow, fast = ask("slow"), ask("fast")
        first = model.answer_some([slow, fast])
        assert [(place, answer.text) for place, answer in texts(first)] == [(1, "you said fast")]
        held.set()
        second = model.answer_some([slow])
        assert [answer.text for _, answer in texts(second)] == ["you said slow"]
    asked = [one["messages"][-1]["content"] for one in server.requests]
    assert asked.count("slow") == 1, "it stayed under way"


def texts(answers: list[tuple[int, Completion | ModelFailure]]) -> list[tuple[int, Completion]]:
    return [(place, one) for place, one in answers if isinstance(one, Completion)]


# -- the end --------------------------------------------------------------------------------------


def test_ctrl_c_while_a_server_is_silent_ends_at_once() -> None:
    server = FaultServer(echo, faults=("never",))
    with server:
        model = served(server, replace(HASTY, request_s=60))
        server.share = 1.0
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.3, lambda: signal.pthread_kill(main, signal.SIGINT))
        try:
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                model.answer_some([ask("a"), ask("b")])
        finally:
            signal.signal(signal.SIGINT, before)
        model.close()
        assert not [one for one in threading.enumerate() if one.name == "okrt-server"]


def test_what_is_not_asked_for_again_is_given_up() -> None:
    """With one place, a request that stayed would keep the next one out."""
    held, in_vain = threading.Event(), []

    def respond(conversation: Conversation) -> str:
        if conversation.messages[-1].content == "left alone" and not held.wait(10):
            in_vain.append(True)
        return echo(conversation)

    with serving(FaultServer(respond), replace(HASTY, request_s=60), concurrency=1) as model:
        answers = texts(model.answer_some([ask("first"), ask("left alone")]))
        answers += texts(model.answer_some([ask("second")]))
        held.set()
    assert [one.text for _, one in answers] == ["you said first", "you said second"]
    assert not in_vain
