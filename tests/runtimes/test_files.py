"""A fresh process finds the files of the one before: on every tier, and for exactly one session."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes.contracts import ALL, FILES, NOTHING
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Execution, Kept, Limits
from tests.runtimes.conftest import TIERS, of_tier, playing
from tests.runtimes.test_lifetime import descendants, eventually, eventually_stable

LIST = "import os; print(sorted(os.listdir()))"
every = pytest.mark.parametrize("tier", [*TIERS, "none"], indirect=True)
closed = pytest.mark.parametrize(
    "tier",
    [*(pytest.param(one, marks=pytest.mark.thorough) for one in ("unsafe", "none")), "T0", "T1"],
    indirect=True,
)
"""For what takes long: those without walls have no other machinery for it."""


@pytest.fixture
def tiered(tier: str, scratch: Path) -> Iterator[ZygoteRuntime]:
    with of_tier(tier) as runtime:
        yield runtime


def directories(scratch: Path) -> list[str]:
    return [path.name for root in scratch.iterdir() for path in root.iterdir()]


class Turns:
    """Keeps names, files or nothing, turn by turn."""

    name, notice, false_notice = "turns", "Some.", "All."

    def __init__(self, *kept: Kept) -> None:
        self.kept = kept

    def keeps(self, turn: int, last: Execution) -> Kept:
        return self.kept[turn - 1] if turn <= len(self.kept) else NOTHING


ONLY_FILES = Kept(names=False, files=True)


@every
def test_names_files_and_nothing_follow_each_other(tiered: ZygoteRuntime) -> None:
    contract = Turns(ALL, ONLY_FILES, ALL, ONLY_FILES, NOTHING)
    leave = (
        "import os; print('a' in globals(), sorted(os.listdir())); a = 1; open({!r}, 'w').close()"
    )
    seen = playing(tiered)(*[leave.format(name) for name in "uvwxyz"], contract=contract)
    assert [block.stdout.strip() for block in seen] == [
        "False []",
        "True ['u']",
        "False ['u', 'v']",
        "True ['u', 'v', 'w']",
        "False ['u', 'v', 'w', 'x']",
        "False []",
    ]


@closed
def test_a_session_has_one_directory_and_it_goes_with_it(
    tiered: ZygoteRuntime, tier: str, scratch: Path
) -> None:
    before = descendants(os.getpid())
    with tiered.open(FILES, {}, Limits(block_s=0.5)) as session:
        for code in ("open('f', 'w').close()", "import os; os._exit(1)", "while True: pass", LIST):
            found = session.execute(code)
            assert len(directories(scratch)) == (tier != "T1")
            time.sleep(0.05)  # the next process is set up meanwhile
            assert len(directories(scratch)) == (tier != "T1")
        assert found.stdout == "['f']\n"
    assert eventually(lambda: directories(scratch) == [])
    rest = 0 if tier == "none" else 2
    assert eventually(lambda: len(descendants(os.getpid()) - before) == rest)


@closed
def test_a_session_that_is_closed_while_its_next_process_starts_leaves_nothing(
    tiered: ZygoteRuntime, scratch: Path
) -> None:
    before = descendants(os.getpid())
    sessions = [tiered.open(FILES, {}, Limits()) for _ in range(5)]
    for session in sessions:
        session.execute("open('f', 'w').close()\nx = bytearray(50 << 20)")
        session.close()
    assert eventually(lambda: directories(scratch) == [])
    assert eventually_stable(lambda: len(descendants(os.getpid()) - before)) <= 2


@closed
def test_a_session_that_is_forgotten_leaves_nothing(
    tiered: ZygoteRuntime, tier: str, scratch: Path
) -> None:
    session = tiered.open(FILES, {}, Limits())
    session.execute("open('f', 'w').close()\nimport os; os._exit(1)")
    with pytest.warns(ResourceWarning, match="a session was forgotten, not closed"):
        del session
    assert eventually(lambda: directories(scratch) == [])


@closed
def test_sessions_do_not_meet_each_other_s_files(tiered: ZygoteRuntime) -> None:
    with tiered.open(FILES, {}, Limits()) as one, tiered.open(FILES, {}, Limits()) as other:
        for turn in range(3):
            for name, session in (("one", one), ("other", other)):
                session.execute(f"open('{name}{turn}', 'w').close()")
        assert one.execute(LIST).stdout == "['one0', 'one1', 'one2']\n"
        assert other.execute(LIST).stdout == "['other0', 'other1', 'other2']\n"
    (after,) = playing(tiered)(LIST, contract=FILES)
    assert after.stdout == "[]\n"


@closed
def test_no_file_is_lost_where_a_process_cannot_be_had_at_once(
    tiered: ZygoteRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tiered.open(FILES, {}, Limits()) as session:
        processes = session._processes
        fork = processes.fork
        failures = iter([RuntimeFailure("no descriptor is free")])

        def fails_once(*args: Any, **kwargs: Any) -> Any:
            for failure in failures:
                raise failure
            return fork(*args, **kwargs)

        monkeypatch.setattr(processes, "fork", fails_once, raising=False)
        session.execute("open('f', 'w').close()")
        assert session.execute(LIST).stdout == "['f']\n"


@pytest.mark.parametrize("tier", ["unsafe", "none"])
@pytest.mark.parametrize(
    "spoil",
    [
        "shutil.rmtree(here)",
        "shutil.rmtree(here); open(here, 'w').close()",
        "shutil.rmtree(here); os.symlink('/nowhere', here)",
        "os.chmod(here, 0)",
    ],
)
def test_a_block_without_walls_that_spoils_its_directory_spoils_its_own(
    tier: str, scratch: Path, spoil: str
) -> None:
    with of_tier(tier) as runtime:
        code = f"import os, shutil; here = os.getcwd(); os.chdir('/'); {spoil}"
        first, second = playing(runtime)(code, LIST, contract=FILES)
    assert (first.status, second.stdout) == ("ok", "[]\n")
