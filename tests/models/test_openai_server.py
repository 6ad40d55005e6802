"""A server's model: what is sent, what comes back, and what is said before any episode is run."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from okrt import specs
from okrt.analysis.rows import row
from okrt.errors import SpecError, UsageError
from okrt.models.calls import schema
from okrt.models.endpoint import endpoint
from okrt.models.openai_server import ServerModel
from okrt.models.patience import Patience
from okrt.parse import parse
from okrt.run import Case, episode_id, run_cases
from okrt.testing import check_model
from okrt.types import Conversation, FunctionTool, Message, ModelCard, Settings, Usage
from tests.faults.server import FaultServer
from tests.toys import FAMILY, FakeRuntime, block

HASTY = Patience(tries=3, first_s=0.01, longest_s=0.02, request_s=10, meeting_s=5)
KEY = "geheim-4711-abc"


def echo(conversation: Conversation) -> str:
    return f"you said {conversation.messages[-1].content}"


@contextmanager
def serving(server: FaultServer, spec: str = "", **changes: Any) -> Iterator[ServerModel]:
    values: dict[str, Any] = {
        "temperature": 0.5, "max_new_tokens": 99, "thinking": "off", "patience": HASTY,
    }  # fmt: skip
    with server:
        model = ServerModel(endpoint(spec or server.spec), **(values | changes))
        try:
            yield model
        finally:
            model.close()


def ask(*texts: str, seed: int = 0) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(tuple(Message(roles[n % 2], t) for n, t in enumerate(texts)), seed=seed)  # type: ignore[arg-type]


# -- what is sent ---------------------------------------------------------------------------------


def test_everything_that_decides_a_reply_is_sent() -> None:
    server = FaultServer(echo)
    with serving(server) as model:
        model.generate([ask("a", "b", "c", seed=2**40 + 5)])
    assert server.requests[-1] == {
        "model": "m",
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
        "temperature": 0.5,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_tokens": 99,
        "seed": (2**40 + 5) % 2**31,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert server.headers[-1]["x-stainless-retry-count"] == "0"


@pytest.mark.parametrize("thinking", ["strip", "keep"])
def test_the_template_is_told_about_thinking(thinking: str) -> None:
    server = FaultServer(echo)
    with serving(server, thinking=thinking) as model:
        model.generate([ask("a")])
    assert server.requests[-1]["chat_template_kwargs"] == {"enable_thinking": True}


def test_each_turn_has_a_seed_of_its_own() -> None:
    def respond(conversation: Conversation) -> str:
        return block("add(1)" if len(conversation.messages) < 5 else "finish()")

    server = FaultServer(respond)
    with serving(server) as model:
        card = ModelCard("m", "m", "server")
        task = FAMILY.task(1, "low")
        case = Case(FAMILY, task, specs.CONTRACTS["stateless"], card, model, Settings())
        list(run_cases([case], FakeRuntime()))
    seeds = [one["seed"] for one in server.requests[1:]]
    assert len(set(seeds)) == len(seeds) == 3


def test_a_field_that_the_server_refuses_is_left_out_and_recorded() -> None:
    """As transformers serve refuses what OpenAI's own interface does not have."""

    def change(request: dict[str, Any], answer: Any) -> tuple[int, Any]:
        if odd := {"top_k", "min_p"} & set(request):
            return 422, {"detail": f"Unexpected fields in the request: {odd}"}
        return 200, answer

    server = FaultServer(echo, change=change)
    with serving(server) as model:
        (found,) = model.generate([ask("a")])
    assert found.text == "you said a"
    assert sorted(model.facts.refused_fields) == ["min_p", "top_k"]
    assert server.requests[-1]["repetition_penalty"] == 1.0
    assert "top_k" not in server.requests[-1]


def test_connections_are_kept() -> None:
    server = FaultServer(echo)
    with serving(server, concurrency=2) as model:
        model.generate([ask(str(n)) for n in range(30)])
    assert len(server.requests) == 31
    assert server.peak <= 2
    assert server.connections <= 5  # the meeting's questions come together


def test_a_function_is_offered_and_a_call_and_its_answer_are_sent_apart() -> None:
    server = FaultServer(lambda _: "Go.\n" + block("add(1)"))
    offered = FunctionTool("Runs code.", "The code.")
    with serving(server, function=offered) as model:
        (first,) = model.generate([ask("a")])
        reply = parse(first.text, "tool_call")
        assert reply.call is not None
        call = replace(reply.call, id=str(first.call_id))
        said = Message("assistant", reply.kept, (call,))
        shown = Message("tool", "1", tool_call_id=call.id)
        model.generate([Conversation((Message("user", "a"), said, shown))])
    assert (reply.code, reply.problem, first.finish_reason) == ("add(1)\n", None, "stop")
    for request in server.requests:  # the meeting's too
        assert (request["tools"], request["tool_choice"]) == ([schema(offered)], "auto")
    arguments = {"name": "python", "arguments": '{"code": "add(1)\\n"}'}
    assert server.requests[-1]["messages"][1:] == [
        {"role": "assistant", "content": "Go.",
         "tool_calls": [{"id": "id-1-0", "type": "function", "function": arguments}]},
        {"role": "tool", "content": "1", "tool_call_id": "id-1-0"},
    ]  # fmt: skip


def test_a_server_that_knows_tools_but_no_choice_is_used() -> None:
    def change(request: dict[str, Any], answer: Any) -> tuple[int, Any]:
        if "tool_choice" in request:
            return 422, {"detail": "Unexpected fields in the request: {'tool_choice'}"}
        return 200, answer

    server = FaultServer(echo, change=change)
    with serving(server, function=FunctionTool("Runs code.", "The code.")) as model:
        model.generate([ask("a")])
    assert model.facts.refused_fields == ("tool_choice",)
    assert server.requests[-1]["tools"]


@pytest.mark.parametrize(
    "refusal",
    [
        (400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be '
              "set"),
        (500, "tools param requires --jinja flag"),
        (404, "No endpoints found that support tool use"),
    ],
    ids=["vllm", "llama.cpp", "a router"],
)  # fmt: skip
def test_a_server_without_tools_is_one_line(refusal: tuple[int, str]) -> None:
    def change(request: dict[str, Any], answer: Any) -> tuple[int, Any]:
        status, message = refusal
        return (status, {"error": {"message": message}}) if "tools" in request else (200, answer)

    offered = FunctionTool("Runs code.", "The code.")
    says = r"takes no tool calls \(.*use --okrt-format fenced$"
    with (
        pytest.raises(UsageError, match=says) as told,
        serving(FaultServer(echo, change=change), function=offered),
    ):
        pass
    assert refusal[1] in str(told.value)
    assert "\n" not in str(told.value)


# -- what comes back ------------------------------------------------------------------------------


def test_it_keeps_the_laws_of_models() -> None:
    with serving(FaultServer(echo)) as model:
        check_model(model)


def test_tokens_that_are_not_counted_are_not_measured() -> None:
    server = FaultServer(lambda _: block("finish()"), usage=False)
    with serving(server) as model:
        agent = specs.Agent(ModelCard("m", "m", "server"), model)
        case = Case(
            FAMILY, FAMILY.task(0, "low"), specs.CONTRACTS["stateless"], *_parts(agent), Settings()
        )
        (episode,) = run_cases([case], FakeRuntime())
    found = row(episode)
    assert found.score is not None
    assert (found.prompt_tokens, found.total_tokens, found.new_tokens) == (None, None, None)


def _parts(agent: specs.Agent) -> tuple[ModelCard, Any]:
    return agent.card, agent.model


def limited(request: dict[str, Any], answer: Any) -> tuple[int, Any]:
    """A context of 60 tokens; what is asked beyond is refused as vLLM refuses it."""
    read, asked = answer["usage"]["prompt_tokens"], request["max_tokens"]
    if read + asked <= 60:
        answer["choices"][0]["finish_reason"] = "length"
        return 200, answer
    return 400, {
        "error": {
            "message": "This model's maximum context length is 60 tokens. However, you requested "
            f"{read + asked} tokens ({read} in the messages, {asked} in the completion)."
        }
    }


def test_a_reply_has_what_is_left_of_the_context_and_then_the_episode_ends() -> None:
    server = FaultServer(lambda _: "word", change=limited)
    with serving(server) as model:
        cut, none = model.generate([ask("a " * 40), ask("a " * 70)])
    assert cut.finish_reason == "length"
    assert [one["max_tokens"] for one in server.requests if "a a" in str(one)].count(20) == 1
    assert (none.text, none.finish_reason) == ("", "context")
    assert none.usage == Usage(None, 0)


def test_a_context_that_is_full_ends_the_episode_so() -> None:
    server = FaultServer(lambda _: block("print('x ' * 30)"), change=limited)
    with serving(server) as model:
        card = ModelCard("m", "m", "server")
        task = FAMILY.task(0, "low")
        case = Case(FAMILY, task, specs.CONTRACTS["stateless"], card, model, Settings())
        (episode,) = run_cases([case], FakeRuntime())
    assert episode.failure is None
    assert row(episode).ending == "context"


# -- before any episode is run --------------------------------------------------------------------


def test_a_server_is_met_by_its_list_of_models_and_one_token() -> None:
    server = FaultServer(echo, facts={"/version": b'{"version": "0.11.0"}'})
    with serving(server) as model:
        assert model.facts.version == "0.11.0"
    assert server.paths[:2] == ["/v1/models", "/v1/chat/completions"]
    assert [one["max_tokens"] for one in server.requests] == [1]


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"model": "other", "listed": ("b", "a")},
         "no model 'm' at URL (404: The model `m` does not exist.); it lists: a, b"),
        ({"listed": None, "facts": {"/v1/models": b"<html>hi</html>"}},
         "URL/models is no list of models: is this an OpenAI-compatible server?"),
        ({"key": KEY}, "URL wants a key (401: Unauthorized: Bearer ***); set OKRT_API_KEY or "
         "OPENAI_API_KEY in the environment"),
        ({"change": lambda *_: (400, {"error": {"message": "temperature is odd"}})},
         "m at URL refuses a request: 400: temperature is odd"),
        ({"change": lambda *_: (200, {"hello": "world"})},
         "m at URL gives no answer: the answer is no chat completion"),
        ({"share": 1.0, "faults": ("503",)}, "m at URL refuses a request: 503: out of order"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_used_is_one_line(server: dict[str, Any], message: str) -> None:
    made = FaultServer(echo, **server)
    with pytest.raises(UsageError) as found, serving(made, f"m@{made.url}"):
        pass
    assert message in str(found.value).replace(made.url, "URL")
    assert "\n" not in str(found.value)


def test_a_wrong_key_is_told_apart_from_a_missing_one_and_not_shown() -> None:
    server = FaultServer(echo, key="another")
    with pytest.raises(UsageError, match="refuses the key") as found, serving(server, key=KEY):
        pass
    assert KEY not in str(found.value)


def test_a_key_that_is_said_again_and_again_is_not_cut_before_it_is_found() -> None:
    server = FaultServer(echo, change=lambda *_: (403, {"error": f"{KEY} " * 200}))
    with pytest.raises(UsageError) as found, serving(server, key=KEY):
        pass
    assert "geheim" not in str(found.value)
    assert 200 < len(str(found.value)) < 800


def test_a_wrong_path_is_told() -> None:
    server = FaultServer(echo)
    wrong = server.spec.removesuffix("/v1") + "/api"
    with pytest.raises(UsageError, match="/api has neither /models nor") as found:  # noqa: SIM117
        with serving(server, wrong):
            pass
    assert "its URL mostly ends in /v1" in str(found.value)


def test_a_server_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(UsageError, match=f"{url} cannot be reached: .*; start the server"):
            ServerModel(endpoint(f"m@{url}"), temperature=0, max_new_tokens=1, thinking="off")


def test_a_model_that_is_not_listed_but_answers_is_taken() -> None:
    """transformers serve lists the hub's cache alone."""
    said = r"http\S+ lists: else, other; it answers to 'm' all the same: see that the name is right"
    with (
        pytest.warns(UserWarning, match=said),
        serving(FaultServer(echo, listed=("other", "else"))) as model,
    ):
        assert model.generate([ask("a")])[0].text == "you said a"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("listed", [None, (), ("m", "else")])
def test_a_list_that_has_the_model_or_none_is_nothing_to_warn_about(
    listed: tuple[str, ...] | None,
) -> None:
    with serving(FaultServer(echo, listed=listed)) as model:
        assert model.generate([ask("a")])[0].text == "you said a"


def adapters(*, alike: bool, probabilities: bool = True) -> FaultServer:
    """A server whose model `m` is an adapter of `base`."""
    listed = {"data": [{"id": "base", "max_model_len": 512}, {"id": "m", "parent": "base"}]}

    def change(request: dict[str, Any], answer: Any) -> tuple[int, Any]:
        if "logprobs" in request and probabilities:
            value = -0.5 if alike else -len(request["model"])
            answer["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": value}]}
        return 200, answer

    server = FaultServer(
        echo, listed=None, facts={"/v1/models": json.dumps(listed).encode()}, change=change
    )
    inner = server.answer

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        server.model = request["model"]
        try:
            return inner(request)
        finally:
            server.model = "m"

    server.answer = answer  # type: ignore[method-assign]
    return server


def test_an_adapter_is_seen_to_change_something() -> None:
    with serving(adapters(alike=False)) as model:
        assert (model.facts.base, model.facts.adapter_verified) == ("base", True)


def test_an_adapter_that_changes_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="the adapter changes nothing"):  # noqa: SIM117
        with serving(adapters(alike=True)):
            pass


def test_an_adapter_on_a_server_that_gives_no_probabilities_is_unverified() -> None:
    with serving(adapters(alike=True, probabilities=False)) as model:
        assert (model.facts.base, model.facts.adapter_verified) == ("base", None)


# -- specs ----------------------------------------------------------------------------------------


def test_a_spec_names_a_server_s_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKRT_API_KEY", KEY)
    with FaultServer(echo, key=KEY, listed=("m", "org/m")) as server:
        url = server.url.replace("//", "//user:geheim99@") + "?api=geheim88"
        spec = specs.model_spec(f"m@{url}")
        with pytest.raises(UsageError, match="refuses the key"):  # the URL's own go first
            specs.load_model(spec, Settings(), "opaque_knapsack")
        agent = specs.load_model(
            specs.model_spec(f"A=m@{server.url}"), Settings(), "opaque_knapsack", "persistent"
        )
        agent.model.close()  # type: ignore[attr-defined]
    assert spec.label == "m"
    assert spec.spec == f"m@{server.url}?api=***"
    assert "geheim" not in repr(spec)
    card = agent.card
    assert (card.label, card.spec, card.kind) == ("A", f"m@{server.url}", "server")
    assert (card.digest, card.trained_under) == (None, "persistent")
    assert card.tokenizer == "server:m"
    assert card.server is not None
    assert card.server.url == server.url


def test_the_label_is_the_last_part_of_the_name() -> None:
    assert specs.model_spec("org/model-8b@http://h/v1").label == "model-8b"
    with pytest.raises(SpecError, match="two models are labelled 'm'"):
        specs.model_specs(("m@http://h/v1", "m@http://other/v1"))


def test_a_mistake_in_the_url_is_found_without_asking() -> None:
    with pytest.raises(SpecError, match="names no server: write NAME@http://host:port/v1"):
        specs.check_model(specs.model_spec("m@localhost:8000/v1"))


def test_an_episode_s_id_does_not_depend_on_the_address() -> None:
    def name(spec: str) -> str:
        card = ModelCard("m", spec, "server")
        task = FAMILY.task(0, "low")
        contract = specs.CONTRACTS["stateless"]
        return episode_id(Case(FAMILY, task, contract, card, None, Settings()))  # type: ignore[arg-type]

    assert name("m@http://h:1/v1") == name("m@https://other/v1") == name("m@HTTP://h/v1")
    assert name("m@http://h:1/v1") != name("n@http://h:1/v1")
