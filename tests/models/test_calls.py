"""Tool calls between replies, requests and chat templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from okrt import specs
from okrt.errors import UsageError
from okrt.models.calls import chat_message, schema, spelled
from okrt.models.rendering import encode_conversation, offers, template_options
from okrt.parse import parse
from okrt.prompts import function
from okrt.run import Case, run_cases
from okrt.runtimes.contracts import PERSISTENT
from okrt.types import (
    Completion,
    Conversation,
    Execution,
    FunctionTool,
    Message,
    Settings,
    ToolRequest,
    Trajectory,
    Turn,
    Usage,
)
from tests.checkpoints import HERMES, QWEN_LIKE, make_checkpoint, make_parrot, make_tokenizer
from tests.toys import FAMILY, FakeRuntime, obey
from training.dataset import IGNORED, encode

FUNCTION = FunctionTool("Runs code.", "The code.")
TOKENIZERS = {"ours": make_tokenizer(), "hermes": make_tokenizer(template=HERMES)}
END = TOKENIZERS["ours"].convert_tokens_to_ids("<|im_end|>")
CALL = spelled("python", '{"code": "add(1)"}')
MISTRAL = (
    "{{ tools | tojson }}{% for m in messages %}{{ m.content }}"
    "{% for call in m.tool_calls or [] %}[TOOL_CALLS]{{ call.function | tojson }}{% endfor %}"
    "{{ eos_token }}{% endfor %}"
)


def test_the_function_of_the_prompts_is_an_openai_tool() -> None:
    offered = function("tool_call")
    assert offered is not None
    assert schema(offered) == {
        "type": "function",
        "function": {
            "name": "python",
            "description": "Runs a block of Python code and returns what it prints.",
            "parameters": {
                "type": "object",
                "properties": {"code": {"type": "string", "description": "The block of code."}},
                "required": ["code"],
            },
        },
    }
    assert function("fenced") is None


@given(st.text(max_size=20), st.sampled_from(["", "\n", "  \n"]))
def test_a_request_carries_the_call_apart_from_what_was_said(said: str, tail: str) -> None:
    content = f"{said}\n{CALL}{tail}" if said else CALL + tail
    found = parse(content, "tool_call", "keep").call
    if "</think>" in said or "<think>" in said or "<tool_call>" in said:
        return
    assert found is not None
    sent = chat_message(Message("assistant", content, (replace(found, id="abc"),)))
    arguments = {"name": "python", "arguments": '{"code": "add(1)"}'}
    assert sent == {
        "role": "assistant",
        "content": said,
        "tool_calls": [{"id": "abc", "type": "function", "function": arguments}],
    }


def test_other_messages_are_sent_as_they_are() -> None:
    assert chat_message(Message("user", CALL)) == {"role": "user", "content": CALL}
    assert chat_message(Message("tool", "1", tool_call_id="abc")) == {
        "role": "tool", "content": "1", "tool_call_id": "abc",
    }  # fmt: skip


# -- chat templates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [(None, True), (HERMES, True), (QWEN_LIKE, False), (MISTRAL, False)],
    ids=["ours", "hermes", "no tools", "another form"],
)
def test_templates_that_have_such_calls_are_told_from_others(
    template: str | None, expected: bool
) -> None:
    assert offers(make_tokenizer(template=template), FUNCTION) == expected


def test_ours_writes_nothing_for_no_function() -> None:
    chat = [{"role": "user", "content": "go"}]
    tokenizer = TOKENIZERS["ours"]
    plain = tokenizer.apply_chat_template(chat, tokenize=False)
    assert plain == "<|im_start|>user\ngo<|im_end|>\n"
    told = str(tokenizer.apply_chat_template(chat, tokenize=False, tools=[schema(FUNCTION)]))
    assert told.endswith(plain)
    assert '"description": "Runs code."' in told


texts = st.text(max_size=20) | st.sampled_from(["hm", f"Go.\n{CALL}", CALL + "\n", CALL + " so"])
ids = st.lists(st.integers(0, len(TOKENIZERS["ours"]) - 1).filter(lambda i: i != END), max_size=9)


@settings(deadline=None, max_examples=40)
@given(st.lists(texts | ids, min_size=1, max_size=4), st.sampled_from(sorted(TOKENIZERS)))
def test_what_is_fed_only_grows_and_is_what_training_sees(
    replies: list[str | list[int]], name: str
) -> None:
    tokenizer = TOKENIZERS[name]
    turns: list[Turn] = []
    fed = []
    for given_ids in replies:
        so_far = Trajectory("go", tuple(turns), "max_turns", FUNCTION)
        fed.append(
            encode_conversation(
                tokenizer,
                so_far.messages(),
                [turn.completion for turn in turns],
                add_generation_prompt=True,
                template_kwargs=template_options("off", FUNCTION),
            ).ids
        )
        if isinstance(given_ids, str):
            given_ids = tokenizer.encode(given_ids, add_special_tokens=False)
        turns.append(_turn(str(tokenizer.decode(given_ids)), tuple(given_ids), len(turns)))
    turns[-1] = replace(turns[-1], observation="")
    example = encode(Trajectory("go", tuple(turns), "max_turns", FUNCTION), tokenizer)
    for turn, before in zip(turns, fed, strict=True):
        reply: tuple[int, ...] = turn.completion.token_ids or ()
        if turn.reply != turn.completion.text:
            reply = tuple(tokenizer.encode(turn.reply, add_special_tokens=False))
        whole = (*before, *reply, END)
        assert example.input_ids[: len(whole)] == whole
        assert example.labels[len(before) : len(whole)] == (*reply, END)
        assert example.labels[len(before) - 1] == IGNORED
    assert example.loss_tokens >= len(turns)


def _turn(text: str, token_ids: tuple[int, ...] | None, number: int) -> Turn:
    reply = parse(text, "tool_call")
    call = reply.call and replace(reply.call, id=f"call{number:05d}")
    completion = Completion(text, "stop", Usage(), token_ids)
    return Turn(completion, reply.kept, reply.code, None, f"saw {number}", call=call)


def test_the_answer_to_a_call_stands_where_the_template_puts_it() -> None:
    turn = _turn(CALL, None, 0)
    trajectory = Trajectory("go", (turn, replace(turn, observation="")), "max_turns", FUNCTION)
    text = TOKENIZERS["hermes"].decode(list(encode(trajectory, TOKENIZERS["hermes"]).input_ids))
    shown = "<|im_start|>user\n<tool_response>\nsaw 0\n</tool_response><|im_end|>\n"
    assert f"<|im_start|>assistant\n{CALL}<|im_end|>\n{shown}" in str(text)


# -- checkpoints ----------------------------------------------------------------------------------


def test_a_checkpoint_is_fed_what_training_sees(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "hermes", template=HERMES)
    chosen = Settings(format="tool_call", temperature=1, max_new_tokens=8)
    model = specs.load_model(specs.model_spec(str(path)), chosen, FAMILY.name).model
    turns = [_turn(f"Go.\n{CALL}", None, 0), _turn(CALL, None, 1)]
    history = Trajectory("go", tuple(turns), "max_turns", FUNCTION)
    completions = tuple(turn.completion for turn in turns)
    asked = Conversation(tuple(history.messages()), completions, "e", 3, FUNCTION)
    (new,) = model.generate([asked])
    last = Turn(new, new.text, None, None, "")
    whole = replace(history, turns=(*turns, last), function=function("tool_call"))
    trained = encode(whole, AutoTokenizer.from_pretrained(path)).input_ids
    assert new.token_ids
    assert new.usage.prompt_tokens == len(trained) - len(new.token_ids) - len([END, "newline"])
    assert trained[-len(new.token_ids) - 2 :][: len(new.token_ids)] == new.token_ids


def _talkative(tools: Mapping[str, Callable[..., Any]], code: str) -> Execution:
    """A parrot sees a few tokens back: it must not see its last reply."""
    return replace(obey(tools, code), stdout="a word " * 50)


@pytest.mark.thorough
def test_a_checkpoint_acts_by_calls(tmp_path: Path) -> None:
    chosen = Settings(format="tool_call", temperature=0, max_new_tokens=90, max_turns=3)
    path = make_parrot(tmp_path / "parrot", CALL)
    agent = specs.load_model(specs.model_spec(str(path)), chosen, FAMILY.name)
    case = Case(FAMILY, FAMILY.task(2, "low"), PERSISTENT, agent.card, agent.model, chosen)
    (episode,) = run_cases([case], FakeRuntime(_talkative))
    assert episode.outcome is not None
    assert episode.trajectory is not None
    assert episode.outcome.solved  # 1 is added three times
    roles = [message.role for message in episode.trajectory.messages()]
    assert roles == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    trained = encode(episode.trajectory, AutoTokenizer.from_pretrained(path))
    for number, turn in enumerate(episode.trajectory.turns):
        assert turn.call == ToolRequest(f"call{number:05d}", "python", '{"code": "add(1)"}', 0)
        length, new = turn.completion.usage.prompt_tokens, turn.completion.token_ids
        assert length is not None
        assert new is not None
        assert trained.input_ids[length : length + len(new) + 1] == (*new, END)
        assert trained.labels[length - 1 : length + 1] == (IGNORED, new[0])


def test_a_template_that_passes_over_tools_is_refused_at_loading(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "plain", template=QWEN_LIKE)
    spec = specs.model_spec(str(path))
    with pytest.raises(UsageError, match=r"passes over tools.*use --okrt-format fenced"):
        specs.load_model(spec, Settings(format="tool_call"), FAMILY.name)
