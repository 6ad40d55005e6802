"""Private tasks: the same secret draws the same tasks, another one others, and none is told."""

from __future__ import annotations

import inspect
import pickle
import stat
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from okrt import specs
from okrt.analysis.brief import briefs
from okrt.analysis.cells import tables
from okrt.analysis.pairing import paired
from okrt.analysis.rows import row
from okrt.cli import main
from okrt.engines.players import sendable
from okrt.errors import FamilyError, SpecError, ToolError, UsageError
from okrt.salt import FIRST, SEEDS, PrivateFamily, Salt, exposed, make_salt, read_salt, salt
from okrt.selection.arguments import Given, read_options
from okrt.selection.cases import CaseSpec, cases
from okrt.types import Outcome, Split, Task
from tests.analysis.build import episode
from tests.toys import FAMILY, Counter, Counting

SALT = salt(b"a secret of sixteen bytes or more")
OTHER = salt(b"another secret of sixteen bytes or more")
KNAPSACK = specs.FAMILIES["opaque_knapsack"]


def drawn(seed: int, tier: str = "low", family: str = "counting", of: Salt = SALT) -> int:
    return of.seed(f"{family}/{tier}/eval/{seed}")


def test_a_secret_draws_the_same_tasks_and_another_others() -> None:
    private = [PrivateFamily(KNAPSACK, one) for one in (SALT, SALT, OTHER)]
    same, again, others = ([f.task(seed, "micro") for seed in range(5)] for f in private)
    public = [KNAPSACK.task(seed, "micro") for seed in range(5)]
    assert same == again
    for n in range(5):
        one, other, shown = (tasks[n].private for tasks in (same, others, public))
        assert one != other
        assert shown not in (one, other)
    assert [task.seed for task in same] == [0, 1, 2, 3, 4]
    assert same[3].id == f"opaque_knapsack/micro/eval/3@1~{SALT.digest}"
    assert public[3].id == "opaque_knapsack/micro/eval/3@1"


def test_what_is_drawn_is_pinned() -> None:
    """A change of the derivation makes other tasks of every secret: raise its domain's number."""
    assert SALT.digest == "77f91054"
    assert drawn(0) == 871_799_978_267_293_937


def test_seeds_are_of_a_space_that_nobody_goes_through() -> None:
    found = {
        SALT.seed(f"f/{tier}/{split}/{seed}")
        for tier in ("easy", "hard")
        for split in ("eval", "train", "val")
        for seed in range(500)
    }
    assert len(found) == 3_000
    assert all(FIRST <= seed < FIRST + SEEDS for seed in found)
    assert FIRST + SEEDS == 10**18  # the longest seed of the command line
    assert max(found) - min(found) > 0.99 * SEEDS


def test_neither_a_salt_nor_what_it_drew_is_shown_or_sent() -> None:
    made = PrivateFamily(FAMILY, SALT)
    key = SALT._key
    shown = f"{SALT!r} {SALT} {made!r} {made.alone(3, 'low')!r}"
    assert SALT.digest in shown
    assert not any(text in shown for text in (key.hex(), repr(key), str(drawn(3))))
    for holder in (SALT, made):
        with pytest.raises(TypeError, match="stays in its process"):
            pickle.dumps(holder)


def test_a_case_is_sent_with_the_seed_of_its_own_task_alone(tmp_path: Path) -> None:
    make_salt(tmp_path / "s")
    given = {"salt": "s", "seeds": "3", "model": ("expert:stateless",)}
    options = read_options(Given(given.get, tmp_path))
    assert options.salt is not None
    here = cases(KNAPSACK, ["micro"], range(3), options)
    line = pickle.dumps([sendable(case) for case in here[:2]])
    assert options.salt._key not in line
    there: list[CaseSpec] = pickle.loads(line)
    tasks = [specs.make_task(case.family, case.seed, case.tier) for case in (*here, *there)]
    assert tasks[:2] == tasks[6:8]
    assert there[0].key == here[0].key
    assert there[0].family.environment(tasks[0]).outcome().metrics["floor_score"] is not None
    with pytest.raises(KeyError):
        there[0].family.task(1, "micro")


class Telling(Counting):
    """Writes its seed wherever it can, and needs it to judge."""

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        if tier == "high":
            raise ValueError(f"seed {seed} is out of range")
        task = super().task(seed, tier, split)
        private = {"seed": seed, "all": [{"of": f"{seed}!"}, seed]}
        return replace(task, prompt=f"Task {seed}.", private=private)

    def environment(self, task: Task) -> Counter:
        assert task == self.task(task.seed, task.tier, task.split)
        if task.private["seed"] == drawn(2):
            raise SystemExit(f"cannot judge {task.id}")
        return Counter(Random(task.seed).randrange(1, 100))


def test_a_family_is_given_its_own_task_and_the_drawn_seed_is_not_written() -> None:
    made = PrivateFamily(Telling(), SALT)
    task = specs.make_task(made, 7, "low")
    assert task.prompt == "Task 7."
    assert task.private == {"seed": 7, "all": [{"of": "7!"}, 7]}
    assert str(drawn(7)).encode() not in msgspec.json.encode(task)
    environment: Any = made.environment(task)
    assert isinstance(environment.inner, Counter)
    assert environment.inner.target == Random(drawn(7)).randrange(1, 100)
    with pytest.raises(FamilyError, match=r"raised ValueError for .* seed SEED is out of range"):
        specs.make_task(made, 7, "high")
    with pytest.raises(FamilyError, match=r"SystemExit .* cannot judge counting/low/eval/SEED@1"):
        made.environment(specs.make_task(made, 2, "low"))


def test_a_task_of_another_salt_is_not_judged() -> None:
    made = PrivateFamily(FAMILY, SALT)
    for task in (FAMILY.task(1, "low"), PrivateFamily(FAMILY, OTHER).task(1, "low")):
        with pytest.raises(FamilyError, match=f"is no task of the salt {SALT.digest}"):
            made.environment(task)


def test_a_family_that_returns_something_else_is_told_without_the_seed() -> None:
    class Wrong(Counting):
        def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
            return f"task {seed}" if tier == "low" else super().task(seed + 1, tier)  # type: ignore[return-value]

    for tier, said in (("low", "must return a Task, got a str"), ("high", "was not asked for")):
        with pytest.raises(FamilyError, match=said) as error:
            PrivateFamily(Wrong(), SALT).task(1, tier)
        assert str(drawn(1, tier))[:9] not in str(error.value)


def test_a_file_is_made_for_its_owner_alone_and_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "team.salt"
    assert main(["salt", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    digest = read_salt(file).digest
    content = file.read_bytes()
    shown = capsys.readouterr().out
    assert digest in shown
    assert content.decode().strip() not in shown
    assert len(bytes.fromhex(content.decode())) == 32
    assert main(["salt", str(file)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_bytes() == content
    assert main(["salt", "--digest", str(file)]) == 0
    assert capsys.readouterr().out == f"{digest}\n"
    assert exposed(file) == ""
    file.chmod(0o644)
    assert f"chmod 600 {file}" in exposed(file)
    file.write_bytes(content.strip() + b"\r\n")  # as an editor or a secret store may leave it
    assert read_salt(file).digest == digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not there: okrt salt FILE makes one"),
        (b"", "holds 0 bytes: a secret has 16"),
        (b"fifteen bytes..\n", "holds 15 bytes: a secret has 16"),
        (b"x" * 70_000, "holds over 65,536 bytes"),
    ],
)
def test_a_file_that_is_no_secret_is_one_line(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "s").write_bytes(content)
    with pytest.raises(UsageError) as error:
        read_options(Given({"salt": "s"}.get, tmp_path))
    assert said in str(error.value)
    assert "xxx" not in str(error.value)
    with pytest.raises(UsageError, match="is no file"):
        read_salt(tmp_path)


def test_a_private_task_is_shown_to_those_who_have_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "s")
    digest = make_salt(tmp_path / "s").digest
    task = "opaque_knapsack/micro/eval/3"
    assert main(["task", task, "--salt", file]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{task}@1~{digest}\n")
    assert main(["task", f"{task}@1~{digest}", "--salt", file]) == 0
    assert capsys.readouterr().out == shown
    assert main(["task", task]) == 0
    assert capsys.readouterr().out.split("\n", 1)[1] != shown.split("\n", 1)[1]
    assert main(["task", f"{task}~{digest}"]) == 2
    assert f"give --salt FILE, the file whose digest is {digest}" in capsys.readouterr().err
    with pytest.raises(SpecError, match=f"this one has the digest {OTHER.digest}"):
        specs.task(f"{task}@1~{digest}", OTHER)


def test_cells_of_different_salts_are_not_compared() -> None:
    """By name, though no task would be in both; and a table holds the tasks of one."""
    task = FAMILY.task(1, "low")
    salts = (None, SALT.digest, OTHER.digest)
    rows = [
        row(episode(id=str(n), task=replace(task, salt=one), contract=contract))
        for n, one in enumerate(salts)
        for contract in ("persistent", "stateless")
    ]
    public, private, other = (
        list(briefs([one for one in rows if one.salt == salt and one.contract == "stateless"]))
        for salt in salts
    )
    for strange in (public, other):
        with pytest.raises(UsageError, match=r"the cells differ in salt \(.*" + SALT.digest):
            paired(private, strange)
    assert len(paired(private, private).tasks) == 1
    assert [table.axes for table in tables(rows)] == [
        {"salt": one} for one in sorted(salts, key=lambda one: (one is not None, one))
    ]


class Gossip(Counter):
    """An environment that tells the seed in all it says."""

    def __init__(self, seed: int) -> None:
        super().__init__(5)
        self.seed = seed

    @property
    def tools(self) -> Any:
        def tell(loud: bool = False) -> str:
            if loud:
                raise ToolError(f"seed {self.seed}")
            return f"seed {self.seed}"

        return {"tell": tell}

    def outcome(self) -> Outcome:
        return Outcome(0.5, False, {"seed": self.seed})


class GossipFamily(Telling):
    def environment(self, task: Task) -> Counter:
        return Gossip(task.seed)


def test_what_an_environment_says_does_not_hold_the_drawn_seed() -> None:
    made = PrivateFamily(GossipFamily(), SALT)
    environment = made.environment(specs.make_task(made, 7, "low"))
    tell = environment.tools["tell"]
    assert tell() == "seed 7"
    assert list(inspect.signature(tell).parameters) == ["loud"]
    with pytest.raises(ToolError, match=r"^seed 7$"):
        tell(loud=True)
    assert environment.outcome().metrics == {"seed": 7}


def test_a_seed_at_the_end_of_what_is_told_is_masked_whole() -> None:
    long = "x" * 490

    class Wordy(Telling):
        def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
            raise ValueError(f"{long} {seed}")

    with pytest.raises(FamilyError) as told:
        specs.make_task(PrivateFamily(Wordy(), SALT), 7, "low")
    assert str(drawn(7))[:6] not in str(told.value)


def test_the_secret_in_the_place_of_its_file_is_not_printed() -> None:
    secret = "ab" * 32
    with pytest.raises(UsageError, match="as the secret itself") as told:
        read_salt(Path(secret))
    assert secret not in str(told.value)
