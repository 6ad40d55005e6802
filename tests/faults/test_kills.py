"""Whatever is killed, whenever: no finished episode is lost, none is there twice, and the rows of
the run that is gone on with are those of one that nothing disturbed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from okrt import cli

ROOT = Path(__file__).parents[2]
ENOUGH_S = 120.0

EVALUATION = """
import pytest

@pytest.mark.okrt(tiers=["micro"], seeds=range(100))
def test_fit(episode):
    assert episode.outcome is not None
"""
LAYOUTS = {
    "run": ("okrt.cli", "run", "--tier=micro"),
    "alone": ("pytest", "-q", "-p", "no:cacheprovider"),
    "n2": ("pytest", "-q", "-p", "no:cacheprovider", "-n2"),
}
ZYGOTE, WORKER = "zygote.py", "exec(eval(sys.stdin.readline()))"

Process = tuple[int, str]
"""Its id and when it started: ids are given again."""


def started(pid: int) -> str | None:
    """Returns when a process started, or None where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def below(pid: int) -> list[int]:
    """Returns the processes that a process started, and those that they did."""
    return [one for child in children(pid) for one in (child, *below(child))]


def children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        text = " ".join((task / "children").read_text() for task in tasks)
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass
class Field:
    """Where sessions of one run are started and killed, in `folder`."""

    folder: Path
    seeds: int
    models: tuple[str, ...] = ()
    run: Path = field(init=False)
    seen: set[Process] = field(default_factory=set)
    kills: int = 0
    sessions: int = 0

    def __post_init__(self) -> None:
        self.run = self.folder / "run"
        (self.folder / "test_fit.py").write_text(EVALUATION)

    def begin(self, layout: str) -> subprocess.Popen[str]:
        self.sessions += 1
        where = "resume" if (self.run / "run.json").exists() else "out"
        words = [f"--okrt-seeds={self.seeds}", f"--okrt-{where}=run", *self.models]
        return subprocess.Popen(
            [sys.executable, "-m", *LAYOUTS[layout], *words],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )

    def episodes(self) -> int:
        file = self.run / "episodes.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def await_more(self, process: subprocess.Popen[str], more: int, pause_s: float) -> bool:
        """Whether the session still runs when it has recorded so many more episodes."""
        deadline, wanted = time.monotonic() + ENOUGH_S, self.episodes() + more
        while self.episodes() < wanted:
            if process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "nothing comes"
            time.sleep(0.005)
        time.sleep(pause_s)
        return process.poll() is None

    def kill(self, process: subprocess.Popen[str], victim: str, draw: Random) -> None:
        """Kills the controller, or one of its workers or zygotes."""
        family = below(process.pid)
        self.seen |= {(pid, start) for pid in family if (start := started(pid))}
        mark = {"zygote": ZYGOTE, "worker": WORKER}.get(victim)
        # The processes of blocks, which a zygote forks, have its command line: what becomes of
        # them is data.
        found = [
            child
            for pid in (process.pid, *family)
            for child in children(pid)
            if mark and mark in command(child) and mark not in command(pid)
        ]
        if not mark or found:
            found = found or [process.pid]
            os.kill(draw.choice(found), signal.SIGKILL)
            self.kills += 1

    def check_nothing_is_left(self) -> None:
        deadline = time.monotonic() + ENOUGH_S
        while left := [pid for pid, start in self.seen if started(pid) == start]:
            assert time.monotonic() < deadline, [command(pid) for pid in left]
            time.sleep(0.05)
        assert not (self.run / "workers").exists()

    def rows(self) -> list[dict[str, Any]]:
        lines = (self.run / "rows.jsonl").read_text().splitlines()
        return [{**json.loads(line), "timing": None} for line in lines]


def disturb(place: Field, draw: Random, layout: str, victims: list[str], apart: int) -> None:
    """One session: kills the victims in turn, a few episodes apart, and sees it end."""
    process = place.begin(layout)
    for victim in victims:
        if place.await_more(process, draw.randrange(apart), draw.uniform(0, 0.05)):
            place.kill(process, victim, draw)
    shown, _ = process.communicate(timeout=ENOUGH_S)
    if "controller" not in victims:  # what workers print that have lost theirs is execnet's
        assert process.returncode in (0, 1), shown
        assert "INTERNALERROR" not in shown, shown
        assert "Traceback" not in shown, shown


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def whole(folder: Path, seeds: int, *words: str) -> list[dict[str, Any]]:
    """Returns the rows of a run that nothing disturbs."""
    folder.mkdir()
    place = Field(folder, seeds)
    out = f"--out={place.run}"
    assert cli.main(["run", "--tier=micro", f"--seeds={seeds}", out, *words]) == 0
    return place.rows()


def finish(place: Field, *words: str) -> None:
    seeds = f"--seeds={place.seeds}"
    resume = f"--resume={place.run}"
    assert cli.main(["run", "--tier=micro", seeds, resume, *words]) == 0
    place.check_nothing_is_left()
    ids = [json.loads(line)["id"] for line in (place.run / "episodes.jsonl").open()]
    assert len(ids) == len(set(ids))


def test_four_kills(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In every layout, one after the other, on one run."""
    draw = Random("kills/4")
    place = Field(here, seeds=20)
    disturb(place, draw, "run", ["zygote", "controller"], apart=6)
    disturb(place, draw, "n2", ["worker", "controller"], apart=6)
    disturb(place, draw, "alone", ["controller"], apart=6)
    finish(place)
    assert place.rows() == whole(here / "whole", 20)
    assert place.kills >= 4


@pytest.mark.thorough
def test_fifty_kills(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = Random("kills/50")
    expected = whole(here / "whole", 30)
    kills = 0
    for number in range(100):
        folder = here / str(number)
        folder.mkdir()
        place = Field(folder, seeds=30)
        while place.episodes() < 90 and kills + place.kills < 50:
            layout = draw.choice(list(LAYOUTS))
            others = ["zygote", "worker"] if layout == "n2" else ["zygote"]
            victims = [*draw.choices(others, k=3), "controller"]
            disturb(place, draw, layout, victims, apart=6)
        finish(place)
        assert place.rows() == expected
        kills += place.kills
        with capsys.disabled():
            sys.stdout.write(f"\n{kills} kills in {number + 1} runs, {place.sessions} sessions\n")
        if kills >= 50:
            return
    pytest.fail(f"only {kills} kills")


SERVER = """
import sys, threading
from okrt.families.opaque_knapsack.experts import expert
from tests.faults.server import FaultServer

with FaultServer(expert("stateless"), port=int(sys.argv[1]), wait_s=0.005):
    threading.Event().wait()
"""


@pytest.mark.thorough
def test_a_server_that_is_killed_and_comes_back(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the session waits for it, and the session itself now and then."""
    draw = Random("kills/server")
    servers: list[subprocess.Popen[bytes]] = []
    port = free_port()

    def serve() -> None:
        program = [sys.executable, "-c", SERVER, str(port)]
        servers.append(subprocess.Popen(program, env={**os.environ, "PYTHONPATH": str(ROOT)}))
        await_port(port)

    model = f"--model=m@http://127.0.0.1:{port}/v1"
    serve()
    try:
        expected = whole(here / "whole", 60, model)
        place = Field(here, 60, (model,))
        for victim in ("controller", "controller", "zygote"):
            process = place.begin("run")
            if place.await_more(process, draw.randrange(8), draw.uniform(0, 0.05)):
                servers[-1].kill()
                servers[-1].wait()
                place.kills += 1
                time.sleep(draw.uniform(0, 0.5))
                serve()
                place.await_more(process, 4, 0.0)
                place.kill(process, victim, draw)
            process.communicate(timeout=ENOUGH_S)
        finish(place, model)
        assert place.rows() == expected
        assert place.kills >= 4
    finally:
        for server in servers:
            server.kill()
            server.wait()


def await_port(port: int) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail(f"nothing answers at {port}")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        found: int = one.getsockname()[1]
        return found
