"""The loop: a generator without I/O, in which the context only grows."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.episode import RESTARTED, cut_middle, reply_seed, rollout
from okrt.errors import UsageError
from okrt.models.calls import spelled
from okrt.models.counter import count_tokens
from okrt.prompts import function, instructions
from okrt.runtimes.contracts import (
    ALL,
    CARRYOVER,
    CARRYOVER_ANNOUNCED,
    PERSISTENT,
    STATELESS,
    ResetEvery,
)
from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Execution,
    Format,
    Kept,
    Message,
    Settings,
    ToolRequest,
    Trajectory,
    render,
)
from tests.toys import FAMILY, FakeSession, block, completion, obey

FINISH = block("finish()")


def play(
    answers: list[Completion],
    settings: Settings | None = None,
    contract: Contract = PERSISTENT,
    run: Any = obey,
) -> tuple[Trajectory, list[Conversation]]:
    """Returns the trajectory of canned completions and the conversations they answered."""
    task = FAMILY.task(0, "low")
    environment = FAMILY.environment(task)
    session = FakeSession(environment.tools, run)
    loop = rollout(task, environment, contract, session, settings or Settings(), episode_id="e")
    asked = [next(loop)]
    for answer in answers:
        try:
            asked.append(loop.send(answer))
        except StopIteration as stop:
            return stop.value, asked
    raise AssertionError("the answers did not end the episode")


def test_finish_on_the_last_turn_is_finished() -> None:
    settings = Settings(max_turns=2)
    trajectory, _ = play([completion("hm"), completion(FINISH)], settings)
    assert trajectory.ending == "finished"
    trajectory, _ = play([completion("hm"), completion("hm")], settings)
    assert trajectory.ending == "max_turns"


def test_a_reply_cut_by_the_length_limit_counts_its_tokens() -> None:
    cut = completion("```python\nx = 1", finish_reason="length")
    trajectory, asked = play([cut, completion(FINISH)])
    assert trajectory.turns[0].execution is None
    assert trajectory.usage.completion_tokens == (
        (cut.usage.completion_tokens or 0)
        + (trajectory.turns[1].completion.usage.completion_tokens or 0)
    )
    assert "length limit" in asked[1].messages[-1].content


def test_a_conversation_that_no_longer_fits_ends_the_episode_without_a_turn() -> None:
    full = completion("", finish_reason="context")
    trajectory, _ = play([completion("hm"), full])
    assert (trajectory.ending, len(trajectory.turns)) == ("context", 1)


def test_a_token_budget_ends_the_episode() -> None:
    trajectory, _ = play([completion("hm"), completion("hm")], Settings(token_budget=20))
    assert (trajectory.ending, len(trajectory.turns)) == ("token_budget", 2)


def test_only_the_block_runs_and_the_rest_leaves_the_history() -> None:
    ran: list[str] = []

    def run(tools: Any, code: str) -> Execution:
        ran.append(code)
        return obey(tools, code)

    invented = block("add(1)") + "\nOutput: 1\n" + block("add(100)")
    trajectory, asked = play([completion(invented), completion(FINISH)], run=run)
    assert ran == ["add(1)\n", "finish()\n"]
    assert asked[1].messages[1].content == block("add(1)")
    assert trajectory.turns[0].discarded_chars == len("\nOutput: 1\n" + block("add(100)"))
    assert "more than one block" in asked[1].messages[-1].content


@pytest.mark.parametrize(
    ("execution", "shown"),
    [
        (Execution("ok", stdout="a\nb\n"), "a\nb"),
        (Execution("ok"), "(no output)"),
        (Execution("raised", stdout="a\n", error="Traceback\nE: x"), "a\nTraceback\nE: x"),
        (Execution("died", error="gone.", restarted=True), "gone.\n[note] The interpreter was"),
    ],
)
def test_the_observation_is_output_then_traceback_then_notes(
    execution: Execution, shown: str
) -> None:
    _, asked = play(
        [completion(block("x")), completion("<x>"), completion(FINISH)],
        run=lambda tools, code: obey(tools, code) if "finish" in code else execution,
    )
    assert asked[1].messages[-1].content.startswith(shown)


def test_names_alive_are_listed_where_they_stay_and_none_where_they_do_not() -> None:
    settings = Settings(names=True)

    def run(tools: Any, code: str) -> Execution:
        obey(tools, code if "finish" in code else "pass")
        return Execution("ok", bound_names=("f", "x"))

    answers = [completion(block("x = 1")), completion("hm"), completion(FINISH)]
    _, asked = play(answers, settings, PERSISTENT, run)
    assert [c.messages[-1].content.splitlines()[-1] for c in asked[1:]] == ["[names] f, x"] * 2
    _, asked = play(answers, settings, STATELESS, run)
    assert [c.messages[-1].content.splitlines()[-1] for c in asked[1:]] == ["[names] none"] * 2


def test_long_observations_are_cut_in_the_middle_and_say_so() -> None:
    assert cut_middle("a" * 6 + "b" * 6, 12) == "a" * 6 + "b" * 6
    assert cut_middle("a" * 6 + "b" * 7, 4) == "aa\n[... 9 characters cut here ...]\nbb"


def test_the_matched_prompt_is_the_same_under_every_contract_and_short() -> None:
    texts = {instructions(c, Settings(), 25) for c in (PERSISTENT, STATELESS)}
    assert len(texts) == 1
    assert count_tokens(texts.pop()) <= 150
    for format in get_args(Format):
        settings = Settings(format=format)
        (text,) = {instructions(c, settings, 25) for c in (PERSISTENT, STATELESS)}
        offered = function(format)
        said = f"{offered.description} {offered.argument_description}" if offered else ""
        assert count_tokens(f"{text} {said}") <= 150


def test_the_cue_is_a_true_sentence_or_a_false_one() -> None:
    true = {c.name: instructions(c, Settings(cue="true"), 25) for c in (PERSISTENT, STATELESS)}
    false = {c.name: instructions(c, Settings(cue="false"), 25) for c in (PERSISTENT, STATELESS)}
    assert true["persistent"] == false["stateless"] != true["stateless"] == false["persistent"]
    plain = instructions(PERSISTENT, Settings(), 25)
    assert true["persistent"] == f"{plain}\n\n{PERSISTENT.notice}"


def test_the_coached_prompt_differs_by_contract_and_fits_each_format() -> None:
    for format, mark in (("fenced", "```python"), ("code_tag", "<code>")):
        settings = Settings(prompt_set="coached", format=format)  # type: ignore[arg-type]
        one, other = (instructions(c, settings, 25) for c in (PERSISTENT, STATELESS))
        assert one != other
        assert one.count(mark) == other.count(mark) == 3
        assert "{open}" not in one + other
        assert "{{" not in one + other


def test_the_coached_prompt_shows_code_as_text_alone() -> None:
    with pytest.raises(UsageError, match="'coached' has no text for the format tool_call"):
        instructions(STATELESS, Settings(prompt_set="coached", format="tool_call"), 25)


def test_a_call_is_answered_by_a_tool_and_what_is_none_by_the_user() -> None:
    settings = Settings(format="tool_call")
    clean, unknown = spelled("python", '{"code": "add(1)"}'), spelled("finish", "{}")
    answers = [
        completion(f"Go.\n{clean}", call_id="abc"), completion("hm"), completion(unknown),
        completion(spelled("python", '{"code": "finish()"}')),
    ]  # fmt: skip
    trajectory, asked = play(answers, settings)
    _, first, shown, hm, told, other, refused = asked[-1].messages
    request = ToolRequest("abc", "python", '{"code": "add(1)"}', len("Go.\n"))
    assert first == Message("assistant", f"Go.\n{clean}", (request,))
    assert shown == Message("tool", "(no output)", tool_call_id="abc")
    assert (hm.tool_calls, told.role, told.tool_call_id) == (None, "user", None)
    assert "called no function" in told.content
    assert other.tool_calls == (ToolRequest("call00002", "finish", "{}", 0),)
    assert (refused.role, refused.tool_call_id) == ("tool", "call00002")
    assert "no such function" in refused.content
    assert trajectory.function == asked[0].function == function("tool_call")
    assert trajectory.ending == "finished"


def test_a_contract_without_a_coached_text_is_a_usage_error() -> None:
    class Own:
        name, notice, false_notice = "own", "", ""

        def keeps(self, turn: int, last: Execution) -> Kept:
            return ALL

    with pytest.raises(UsageError, match="'coached' has no text for the contract 'own'"):
        instructions(Own(), Settings(prompt_set="coached"), 25)


def test_what_a_contract_says_of_a_block_is_in_its_observation() -> None:
    ends = iter([Execution("cap", stdout="1\n", error="E", bound_names=("a",)), Execution("ok")])
    answers = [completion("hm"), completion(block("x")), completion("hm"), completion(block("y")),
               completion(FINISH)]  # fmt: skip

    def run(tools: Any, code: str) -> Execution:
        return next(ends, None) or obey(tools, code)

    settings = Settings(names=True)
    _, asked = play(answers, settings, CARRYOVER_ANNOUNCED, run)
    first, cut, silent, well = (one.messages[-1].content for one in asked[1:])
    assert cut == (
        "1\nE\n[note] The tool-call cap cut this block short: its variables, functions and imports "
        "stay available in the next block.\n[names] a"
    )
    assert "cap cut" not in first + silent + well
    assert [text.rpartition("[names] ")[2] for text in (first, silent, well)] == [
        "none",
        "a",
        "none",
    ]
    ends = iter([Execution("cap", stdout="1\n", error="E", bound_names=("a",)), Execution("ok")])
    _, asked = play(answers, settings, CARRYOVER, run)
    assert asked[2].messages[-1].content == "1\nE\n[names] a"


def test_the_note_is_of_the_answer_that_the_session_had() -> None:
    """Which asked before it could know that it restarts."""

    class Looks:
        name, notice, false_notice = "looks", "Some.", "None."

        def keeps(self, turn: int, last: Execution) -> Kept:
            return Kept(names=False, files=True, note="Files.") if last.restarted else ALL

    answers = [completion(block("x")), completion(FINISH)]
    died = iter([Execution("died", error="E", restarted=True)])
    _, asked = play(
        answers, contract=Looks(), run=lambda tools, code: next(died, None) or obey(tools, code)
    )
    assert asked[1].messages[-1].content.endswith(f"[note] {RESTARTED}")


def test_of_a_session_that_was_restarted_the_note_would_be_false() -> None:
    class Says:
        name, notice, false_notice = "says", "Some.", "None."

        def keeps(self, turn: int, last: Execution) -> Kept:
            return Kept(names=False, files=True, note="Your files are still there.")

    answers = [completion(block("x")), completion(block("y")), completion(FINISH)]
    died = iter([Execution("died", error="E", restarted=True), Execution("died", error="E")])
    _, asked = play(
        answers, contract=Says(), run=lambda tools, code: next(died, None) or obey(tools, code)
    )
    assert asked[1].messages[-1].content.endswith(f"E\n[note] {RESTARTED}")
    assert asked[2].messages[-1].content.endswith("E\n[note] Your files are still there.")


@pytest.mark.parametrize("contract", [CARRYOVER, ResetEvery(3)], ids=lambda c: c.name)
def test_a_cue_is_a_contract_s_own(contract: Contract) -> None:
    for cue, text in (("true", contract.notice), ("false", contract.false_notice)):
        assert instructions(contract, Settings(cue=cue), 25).endswith(f"\n\n{text}")  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=f"no text for the contract '{contract.name}'; use matched"
    ):
        instructions(contract, Settings(prompt_set="coached"), 25)


def test_the_seed_of_a_reply_does_not_depend_on_the_contract() -> None:
    answers = [completion("hm"), completion(FINISH)]
    one = [c.seed for c in play(answers, contract=PERSISTENT)[1]]
    assert one == [c.seed for c in play(answers, contract=STATELESS)[1]]
    assert len(set(one)) == 2
    assert one[0] == reply_seed("counting/low/eval/0@1", 0, 0) != reply_seed("x", 0, 0)


replies = st.sampled_from(
    ["hm", block("add(1)"), block("add(1)") + "\nmore", "```bash\nls\n```", "<think>x</think>hm",
     spelled("python", '{"code": "add(1)"}'), spelled("add", "{}"), spelled("python", "{")]
)  # fmt: skip


@given(
    st.lists(replies, min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([1, 50]),
    st.sampled_from(get_args(Format)),
)
def test_the_context_only_grows(texts: list[str], names: bool, chars: int, format: Format) -> None:
    settings = Settings(names=names, max_turns=len(texts), observation_chars=chars, format=format)
    trajectory, asked = play([completion(text) for text in texts], settings)
    for earlier, later in itertools.pairwise(asked):
        assert later.messages[: len(earlier.messages)] == earlier.messages
        assert later.completions[: len(earlier.completions)] == earlier.completions
        reply, shown = later.messages[len(earlier.messages) :]
        assert (reply.role, shown.role) == ("assistant", "tool" if reply.tool_calls else "user")
        assert [call.id for call in reply.tool_calls or ()] == [
            given for given in (shown.tool_call_id,) if given is not None
        ]
    final = tuple(trajectory.messages())
    assert final[: len(asked[-1].messages)] == asked[-1].messages
    assert final == tuple(render(trajectory.prompt, trajectory.turns))
    assert final[-1].role == "assistant"
