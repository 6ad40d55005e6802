"""What adapters do when an interpreter dies or does not heed them: the next block is answered."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from okrt.probe.asking import Asker, Limits
from okrt.probe.holder import Holder
from okrt.probe.laws import LAWS
from okrt.probe.report import RESETS
from okrt.probe.spec import target_spec
from okrt.probe.target import TargetSpec
from tests.probe.interpreters import COUNTS
from tests.probe.test_table import PYTHON

REPL = target_spec(["python", "--", *PYTHON, "-iq"], keep=True)
DEAF = (
    "import time\nwhile True:\n"
    "    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
)


@pytest.mark.parametrize("spec", [target_spec("jupyter"), REPL], ids=["jupyter", "REPL"])
def test_a_session_outlives_the_death_of_its_interpreter(spec: TargetSpec) -> None:
    with Holder(spec, 100) as holder:
        session = holder.open(100)
        assert holder.run(session, "x = 1\nimport os\nos._exit(3)", 60).status == "died"
        answer = holder.run(session, "print(6 * 7)\nprint(x)", 60)
    assert "42" in answer.text
    assert "name 'x' is not defined" in answer.text


@pytest.mark.parametrize("end", [None, "%%END"])
@pytest.mark.parametrize("every", [2, 3])
def test_a_kept_process_that_counts_its_blocks_is_told_of_none_but_those_asked(
    mine: Path, end: str | None, every: int
) -> None:
    line = None if end is None else f"{end}\n"
    (mine / "counts.py").write_text(f"END, EVERY = {line!r}, {every}\n{COUNTS}")
    spec = target_spec(["python", "--", *PYTHON, str(mine / "counts.py")], keep=True, end=end)
    law = next(law for law in LAWS if RESETS in law.laws)
    with Holder(spec, 100) as holder:
        asker = Asker(holder, Limits(step_s=60), time.monotonic() + 100)
        *_, found = law.ask(asker, asker.open())
    assert found == ("yes", f"after every {every} blocks")


@pytest.mark.parametrize("last", ["", "\nprint(1)"])
def test_a_block_that_is_stopped_leaves_the_session_whether_or_not_it_shows_its_end(
    last: str,
) -> None:
    code = f"try:\n    import time; time.sleep(1000)\nexcept Exception:\n    pass{last}"
    with Holder(REPL, 100) as holder:
        session = holder.open(100)
        holder.run(session, "x = 42", 60)
        assert holder.run(session, code, 0.5).status == "timeout"
        assert "42" in holder.run(session, "print(x)", 60).text


def test_a_block_that_heeds_no_interrupt_costs_its_process_alone() -> None:
    with Holder(REPL, 100) as holder:
        first, second = holder.open(100), holder.open(100)
        holder.run(second, "x = 6", 60)
        assert holder.run(first, DEAF, 0.5).status == "timeout"
        assert "42" in holder.run(first, "print(6 * 7)", 60).text
        assert "36" in holder.run(second, "print(x * 6)", 60).text


def test_output_without_end_is_cut_and_the_session_goes_on() -> None:
    with Holder(REPL, 100) as holder:
        session = holder.open(100)
        answer = holder.run(session, "while True: print('x' * 1000)", 1.0)
        assert answer.status == "timeout"
        assert 1000 < len(answer.text) <= 2_000_000
        assert "42" in holder.run(session, "print(6 * 7)", 60).text


def test_a_target_can_be_interrupted_though_we_were_started_in_the_background() -> None:
    """A shell has what it starts in the background ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Holder(REPL, 100) as holder:
            session = holder.open(100)
            holder.run(session, "x = 42", 60)
            assert holder.run(session, "import time; time.sleep(1000)", 0.5).status == "timeout"
            assert "42" in holder.run(session, "print(x)", 60).text
    finally:
        signal.signal(signal.SIGINT, before)
