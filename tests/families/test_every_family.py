"""What holds of every family: its tasks are those of the golden table, its experts answer alike."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okrt import specs
from okrt.families.scripted import EXPERTS, RECOVERIES, Past
from okrt.types import Conversation, Message, Settings, Split
from tests.families.driver import CODE_TAG, FENCED, instructions, play
from tests.families.gallery import page
from tests.families.golden import golden

NAMES = tuple(specs.FAMILIES)
NEW = ("ledger_audit", "lookup_control")


@pytest.mark.parametrize("name", NEW)
def test_tasks_are_those_of_the_golden_table(name: str) -> None:
    table = json.loads((Path(__file__).parent / name / "golden.json").read_text("utf-8"))
    assert golden(name) == table
    assert list(table) == [
        f"{name}/{tier}/eval/{seed}@1" for tier in ("micro", "easy", "hard") for seed in range(20)
    ]


@pytest.mark.parametrize("name", NEW)
def test_no_instance_is_shared_by_seeds_or_splits(name: str) -> None:
    splits: tuple[Split, ...] = ("eval", "train", "val")
    family = specs.family(name)
    for tier in family.tiers:
        drawn = [family.task(seed, tier, split) for split in splits for seed in range(12)]
        assert len({task.id for task in drawn}) == len(drawn)
        assert len({json.dumps(task.private) for task in drawn}) == len(drawn)


@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_names_every_tool_and_no_runtime(name: str) -> None:
    family = specs.family(name)
    task = family.task(0, "easy")
    for tool in family.environment(task).tools:
        assert f"\n- {tool}(" in task.prompt
    for word in ("persist", "stateless", "variable", " turn", "fresh", "tool calls"):
        assert word not in task.prompt
    assert not re.search(r"_[0-9a-f]{12}", task.prompt)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize(
    ("seed", "tier", "split", "told"),
    [(0, "huge", "eval", "'huge'"), (-1, "easy", "eval", "-1"), (0, "easy", "test", "'test'")],
)
def test_bad_arguments_are_named(name: str, seed: int, tier: str, split: Split, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        specs.family(name).task(seed, tier, split)


@pytest.mark.parametrize("name", NAMES)
def test_an_expert_s_name_means_each_family_s_own(name: str) -> None:
    """One spec serves a run of several families."""
    spec = specs.model_spec("expert:stateless")
    agent = specs.load_model(spec, Settings(), name)
    assert agent.card == specs.card(spec)
    task = specs.family(name).task(0, "micro")
    asked = Conversation((Message("user", f"{instructions(task.tool_cap)}\n\n{task.prompt}"),))
    (answer,) = agent.model.generate([asked])
    assert answer.text == specs.EXPERTS[name]("stateless")(asked)
    tools = set(specs.family(name).environment(task).tools) - {"finish"}
    assert any(f"{tool}(" in answer.text for tool in tools)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_knows_every_expert(name: str) -> None:
    for expert in EXPERTS:
        for recovery in RECOVERIES:
            specs.EXPERTS[name](f"{expert},recovery={recovery},slips=0.5,variety=1")
    with pytest.raises(ValueError, match="unknown expert 'greedy'"):
        specs.EXPERTS[name]("greedy")
    with pytest.raises(ValueError, match="unknown setting 'slips=2'"):
        specs.EXPERTS[name]("persistent,slips=2")
    if name in NEW:
        with pytest.raises(
            ValueError, match=r"unknown setting 'batch=all'; .*episodes\) or variety"
        ):
            specs.EXPERTS[name]("persistent,batch=all")


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("expert", EXPERTS)
@pytest.mark.parametrize("cap", [1, 2, 3, 5, 80])
def test_any_cap_is_kept(name: str, expert: str, cap: int) -> None:
    task = specs.family(name).task(1, "micro")
    for recovery in RECOVERIES:
        agent = specs.EXPERTS[name](f"{expert},recovery={recovery}")
        at_home = play(task, agent, "persistent", cap)
        assert at_home.finished
        assert at_home.errors == []
        away = play(task, agent, "stateless", cap)
        assert {error.split(":")[0] for error in away.errors} <= {"NameError"}


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("expert", EXPERTS)
def test_a_cap_other_than_the_one_told_is_survived(name: str, expert: str) -> None:
    task = specs.family(name).task(3, "easy")
    for contract in ("persistent", "stateless"):
        agent = specs.EXPERTS[name](expert)
        assert play(task, agent, contract, cap=7, told_cap=25).finished


@pytest.mark.parametrize("name", NEW)
def test_code_tags_are_used_where_asked_for(name: str) -> None:
    task = specs.family(name).task(2, "micro")
    tagged = play(task, specs.EXPERTS[name]("stateless"), "stateless", code_tag=True)
    fenced = play(task, specs.EXPERTS[name]("stateless"), "stateless")
    assert all("```" not in reply for reply in tagged.replies)
    assert tagged.outcome == fenced.outcome


PIECES = [
    "totals = {'acct_0a': 15, 'acct_0b': 0}\ndone = 4", "totals = {}\ndone = 99", "totals = {}",
    "totals = {'acct_0a': 1, }\ndone = 2", "totals = {'acct_0a': quit()}\ndone = 2", "done = 3",
    "totals = {'acct_0a': ٣}\ndone = 1", "totals = {'acct_" + "9" * 5000 + "': 1}\ndone = 1",
    "totals = {'acct_0a': 1}\ndone = " + "9" * 5000, "submitted", "found = {}",
    "found = {'total': 3, 'account': 'acct_0a', 'contact': 'person_0b'}", "7 left", "0 left",
    "NameError: name 'pages' is not defined", "NameError: name ", "(no output)", "",
    "ToolCapExceeded: 6", "ToolError: the reading budget is spent", "[names] totals, done",
    "[... 100 characters cut ...]", "\ud800",
]  # fmt: skip
OBSERVATIONS = st.lists(st.lists(st.sampled_from(PIECES) | st.text()).map("\n".join), max_size=6)
PROMPTS = {name: specs.family(name).task(0, "micro").prompt for name in NEW}


@settings(deadline=None, max_examples=40)
@given(
    OBSERVATIONS, st.sampled_from(NEW), st.sampled_from(EXPERTS), st.sampled_from(RECOVERIES),
    st.sampled_from(["slips=0", "slips=1", "slips=1,variety=a"]), st.booleans(), st.integers(1, 30),
)  # fmt: skip
def test_whatever_is_observed_the_reply_is_one_block_of_python(
    observations: list[str], name: str, expert: str, recovery: str, rest: str, tag: bool, cap: int
) -> None:
    agent = specs.EXPERTS[name](f"{expert},recovery={recovery},{rest}")
    messages = [Message("user", f"{instructions(cap, tag)}\n\n{PROMPTS[name]}")]
    for observation in observations:
        messages.append(Message("assistant", agent(Conversation(tuple(messages)))))
        messages.append(Message("user", observation))
    reply = agent(Conversation(tuple(messages), episode_id="other", seed=7))
    assert reply == agent(Conversation(tuple(messages)))
    found = (CODE_TAG if tag else FENCED).fullmatch(reply.split("\n", 1)[1])
    assert found
    compile(found[1], "<block>", "exec")


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("expert", EXPERTS)
def test_an_expert_that_learns_nothing_finishes(name: str, expert: str) -> None:
    agent = specs.EXPERTS[name](expert)
    messages = [Message("user", "Do something else.")]
    for _ in range(3):
        messages.append(Message("assistant", agent(Conversation(tuple(messages)))))
        messages.append(Message("user", "NameError: name 'rows' is not defined"))
    assert "\nfinish()\n" in messages[-2].content


def test_a_past_is_read_off_any_conversation() -> None:
    past = Past("", (), 1, False, 0)
    assert not past.lost
    assert not past.ever_lost


def test_the_gallery_is_current() -> None:
    shown = (Path(__file__).parents[2] / "docs" / "gallery.md").read_text("utf-8")
    assert shown == page(), "python -m tests.families.gallery > docs/gallery.md"
