"""Strings become things at one edge, and a wrong one is a line that names the value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from okrt import specs
from okrt.errors import FamilyError, SpecError, UsageError
from okrt.models.scripted import ScriptedModel
from okrt.types import Conversation, Execution, Kept, Settings
from tests.toys import Says


@pytest.mark.parametrize(
    ("text", "label", "spec"),
    [
        ("expert:persistent", "expert:persistent", "expert:persistent"),
        (
            "expert:persistent,recovery=give_up",
            "expert:persistent,recovery=give_up",
            "expert:persistent,recovery=give_up",
        ),
        ("mine=expert:stateless", "mine", "expert:stateless"),
        ("runs/qwen-ft", "qwen-ft", "runs/qwen-ft"),
        ("runs/qwen-ft/", "qwen-ft", "runs/qwen-ft/"),
        ("new=runs/a=b", "new", "runs/a=b"),
        ("pkg.mod:agent", "pkg.mod:agent", "pkg.mod:agent"),
    ],
)
def test_a_model_has_a_label(text: str, label: str, spec: str) -> None:
    assert specs.model_spec(text) == specs.ModelSpec(label, spec)


def test_a_dot_is_labelled_by_the_folder_it_is() -> None:
    assert specs.model_spec(".").label == Path.cwd().name


@pytest.mark.parametrize("text", ["", " ", "a b/c d", "x[1]"])
def test_a_label_that_no_test_id_can_hold_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        specs.model_spec(text)


def test_equal_labels_are_refused() -> None:
    with pytest.raises(SpecError, match=r"two models are labelled 'c'.*LABEL=SPEC"):
        specs.model_specs(("a/c", "b/c"))
    assert len(specs.model_specs(("a/c", "other=b/c"))) == 2


MODEL = Says("hm", name="own")
NUMBER = 3


def talk(conversation: Conversation) -> str:
    return "hm"


def load(text: str, family: str = "opaque_knapsack") -> specs.Agent:
    return specs.load_model(specs.model_spec(text), Settings(), family)


def test_experts_are_wrapped_and_know_their_idiom() -> None:
    agent = load("expert:persistent,recovery=retry")
    assert isinstance(agent.model, ScriptedModel)
    assert (agent.card.kind, agent.card.trained_under) == ("scripted", "persistent")
    assert load("expert:stateless").card.trained_under == "stateless"
    assert load("expert:no-inspection").card.trained_under == "unknown"


def test_module_attribute_names_a_model_or_a_function() -> None:
    assert load("tests.test_specs:MODEL").model is MODEL
    assert isinstance(load("tests.test_specs:talk").model, ScriptedModel)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expert:nobody", "nobody"),
        ("expert:persistent,recovery=pray", "pray"),
        ("expert:persistent,mood=good", "unknown setting 'mood=good'"),
        ("no/such/dir", "unknown model 'no/such/dir'"),
        ("no.such.module:thing", "cannot import 'no.such.module'"),
        ("tests.test_specs:nothing", "has no attribute 'nothing'"),
    ],
)
def test_a_model_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        specs.check_model(specs.model_spec(text))
    with pytest.raises(SpecError, match=message):
        load(text)


def test_an_object_that_is_no_model_is_named() -> None:
    with pytest.raises(SpecError, match="is a int: it must have `name` and `generate`"):
        load("tests.test_specs:NUMBER")


def test_a_family_without_experts_says_so() -> None:
    with pytest.raises(SpecError, match="family 'counting' has no experts"):
        load("expert:persistent", "counting")


def test_contracts_and_families_by_name_and_by_attribute() -> None:
    assert specs.contract("stateless").name == "stateless"
    assert specs.contract("okrt.runtimes.contracts:PERSISTENT").name == "persistent"
    assert specs.contract("reset-every-12").name == "reset-every-12"
    names = ["persistent", "stateless", "carryover", "carryover-announced", "files"]
    assert [specs.contract(name).name for name in names] == list(specs.CONTRACTS) == names
    assert specs.family("opaque_knapsack").name == "opaque_knapsack"
    assert specs.family("tests.toys:FAMILY").name == "counting"


@pytest.mark.parametrize("text", ["nosuch", "tests.test_specs:NUMBER", "tests.toys:FAMILY"])
def test_a_contract_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SpecError, match=text):
        specs.contract(text)


@pytest.mark.parametrize(
    "text", ["reset-every-1", "reset-every-x", "reset-every-", "reset-every-03"]
)
def test_a_reset_takes_a_number_of_blocks(text: str) -> None:
    with pytest.raises(SpecError, match=f"'{text}': give reset-every-K, K a number .* from 2 on"):
        specs.contract(text)


class Own:
    name: object = "own"
    notice = "Some."
    false_notice: object = "None."

    def keeps(self, turn: int, last: Execution) -> Kept:
        return Kept(names=False, files=True)


class Broken(Own):
    @property
    def notice(self) -> str:  # type: ignore[override]
        raise KeyError("one\nline")


class Old:
    name, notice, false_notice = "old", "Some.", "None."

    def keeps_names(self, turn: int, last: Execution) -> bool:
        return True


def own(**members: object) -> Own:
    made = Own()
    vars(made).update(members)
    return made


BAD = {
    "OLD": (Old(), "it has no keeps"),
    "CLASS": (Own, r"it is a class: give an object of it, like Own\(\)"),
    "NUMBERED": (own(name=7), "its name must be text, got 7"),
    "NAMELESS": (own(name=""), "its name is empty"),
    "SAYS": (own(false_notice=b"x"), "its false_notice must be text, got b'x'"),
    "FIXED": (own(keeps=True), "its keeps is no function"),
    "ARITY": (own(keeps=lambda turn: None), r"Contract.keeps raised TypeError: .* takes 1 pos.*$"),
    "BOOL": (own(keeps=lambda turn, last: True), "Contract.keeps must return a Kept, got True"),
    "SOME": (
        own(keeps=lambda turn, last: Kept(names=["json"], files=True)),  # type: ignore[arg-type]
        r"Kept.names must be True \(all of them\) or False \(none\), got \['json'\]$",
    ),
    "SPACED": (own(name="a b"), "characters a test id cannot hold"),
    "SILENT": (own(notice=" "), "its notice is empty"),
    "SAME": (own(false_notice="Some."), "its notice and its false_notice are the same"),
    "BROKEN": (Broken(), r"its notice raised KeyError: 'one\\nline'$"),
    "TAKEN": (own(name="persistent"), "is named 'persistent', as one of okrt's own: rename it"),
    "COUNTED": (own(name="reset-every-3"), "is named 'reset-every-3', as one of okrt's own"),
}
globals().update({name: found for name, (found, _) in BAD.items()})


@pytest.mark.parametrize("name", BAD)
def test_a_contract_that_breaks_its_protocol_is_told_the_member(name: str) -> None:
    with pytest.raises(SpecError, match=f"^runtime 'tests.test_specs:{name}' .*{BAD[name][1]}"):
        specs.contract(f"tests.test_specs:{name}")
    with pytest.raises(SpecError, match=BAD[name][1]):  # from a hook
        specs.contract("house", BAD[name][0])  # type: ignore[arg-type]


def test_a_family_that_lacks_a_member_names_it() -> None:
    with pytest.raises(SpecError, match="has no tiers, task, environment"):
        specs.family("tests.test_specs:MODEL")
    with pytest.raises(SpecError, match="unknown family 'nosuch'"):
        specs.family("nosuch")


def test_a_family_whose_task_is_no_task_names_the_member() -> None:
    class Wrong:
        name, tiers = "wrong", ("a",)

        def task(self, seed: int, tier: str, split: str = "eval") -> Any:
            return "task"

        def environment(self, task: Any) -> Any:
            raise NotImplementedError

    with pytest.raises(FamilyError, match=r"TaskFamily.task must return a Task"):
        specs.make_task(Wrong(), 0, "a")


def test_a_task_by_its_id() -> None:
    task = specs.task("opaque_knapsack/micro/train/17")
    assert task.id == "opaque_knapsack/micro/train/17@1"
    assert specs.task(task.id) == task


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("17", "is no task id"),
        ("nosuch/easy/eval/1", "unknown family 'nosuch'"),
        ("opaque_knapsack/nosuch/eval/1", r"unknown tier 'nosuch'.*micro"),
        ("opaque_knapsack/easy/test/1", "is no task id"),
        ("opaque_knapsack/easy/eval/1@99", "generates version 1, not 99"),
    ],
)
def test_a_task_id_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        specs.task(text)


@pytest.mark.parametrize(("text", "found"), [("20", range(20)), ("100:120", range(100, 120))])
def test_seeds(text: str, found: range) -> None:
    assert specs.seeds(text) == found


@pytest.mark.parametrize("text", ["", "0", "5:5", "9:3", "-3", "a", "1:2:3"])
def test_seeds_that_are_none_are_named(text: str) -> None:
    with pytest.raises(UsageError, match="seeds"):
        specs.seeds(text)
