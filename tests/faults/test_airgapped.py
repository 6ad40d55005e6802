"""A directory never contacts a hub: an evaluation of one runs where no network can be reached."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints import make_adapter, make_checkpoint

ROOT = Path(__file__).parents[2]

GUARD = """
import os, socket, sys

def refuse(event, arguments):
    local = event.startswith("socket.") and isinstance(arguments[0], socket.socket)
    if local and arguments[0].family == socket.AF_UNIX:
        return
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                 "socket.gethostbyname", "socket.gethostbyaddr"):
        with open(os.environ["OKRT_TEST_TRIED"], "a") as tried:
            tried.write(f"{event} {arguments[1:] if local else arguments}\\n")
        raise OSError(101, "Network is unreachable")

sys.addaudithook(refuse)
"""
"""A `sitecustomize` that refuses whatever Python sends off, and writes down that it was tried: a
library that catches the error is found out all the same."""

EVALUATION = """
import pytest

@pytest.mark.okrt(family="opaque_knapsack", tiers=["micro"], seeds=range(1))
def test_fit(episode):
    assert episode.outcome is not None
"""
HUB_VARIABLES = ("HF_", "HUGGING", "TRANSFORMERS_", "http", "https", "no_proxy", "all_proxy")


def without_network(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder, with neither network nor a setting that keeps it from one."""
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    hub = tuple(name.lower() for name in HUB_VARIABLES)
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().startswith(hub)
    }
    environment |= {
        "HF_HOME": str(folder / "hub"),
        "OKRT_TEST_TRIED": str(folder / "tried"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(folder / "guard"), str(ROOT)]),
    }
    return subprocess.run(
        [*_in_an_empty_net(), *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def _in_an_empty_net() -> list[str]:
    """Returns what starts a command without any interface, for those who may do that: native code
    is kept in too."""
    unshare = shutil.which("unshare")
    prefix = [unshare, "--net"] if unshare else []
    may = bool(prefix) and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if may else []


def tried(folder: Path) -> str:
    return (folder / "tried").read_text() if (folder / "tried").exists() else ""


@pytest.mark.parametrize(
    "call",
    ["socket.create_connection(('127.0.0.1', 9))", "socket.getaddrinfo('huggingface.co', 443)"],
    ids=["connect", "resolve"],
)
def test_the_guard_refuses_and_writes_down(tmp_path: Path, call: str) -> None:
    program = f"import socket\ntry:\n    {call}\nexcept OSError as error:\n    print(error.errno)"
    found = without_network([sys.executable, "-c", program], tmp_path)
    assert (found.stdout, found.stderr) == ("101\n", "")
    assert tried(tmp_path)


def test_a_checkpoint_and_an_adapter_run_without_a_network(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "base")
    make_adapter(tmp_path / "adapter", base)
    (tmp_path / "test_fit.py").write_text(EVALUATION)
    found = without_network(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"),
            *("--model=base", "--model=adapter", "--okrt-out=run"),
            *("--okrt-max-turns=2", "--okrt-max-new-tokens=12"),
        ],
        tmp_path,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert len((tmp_path / "run" / "rows.jsonl").read_text().splitlines()) == 4
    assert tried(tmp_path) == ""
    assert not list((tmp_path / "hub").rglob("*.*"))  # nothing was fetched into its cache
