"""Against a real server: `transformers serve` on a small checkpoint. Run by `tox -e server`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from transformers import AutoTokenizer, GenerationConfig

from okrt import specs
from okrt.analysis.rows import row
from okrt.errors import ModelFailure, UsageError
from okrt.models.endpoint import endpoint
from okrt.models.local import LocalModel
from okrt.models.openai_server import ServerModel
from okrt.models.patience import Patience
from okrt.run import Case, run_cases
from okrt.types import Conversation, Message, Settings
from tests.checkpoints import make_checkpoint, make_parrot
from tests.toys import FAMILY, FakeRuntime, block

pytestmark = pytest.mark.server

READY_S = 300.0
HASTY = Patience(tries=3, first_s=0.05, longest_s=0.1)


class Served(NamedTuple):
    path: Path
    url: str
    process: subprocess.Popen[bytes]

    @property
    def spec(self) -> str:
        return f"{self.path}@{self.url}"


@contextmanager
def serve(path: Path, folder: Path) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "hf" / "hub").mkdir(parents=True, exist_ok=True)  # it lists what is in there
    log = folder / f"{path.name}.log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(path)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield Served(path, f"http://127.0.0.1:{port}/v1", process)
    finally:
        process.kill()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"transformers serve is not ready: {log.read_text('utf-8', 'replace')[-2000:]}")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    parrot = make_parrot(folder / "parrot", block("add(1)", "finish()"))
    config = GenerationConfig(eos_token_id=AutoTokenizer.from_pretrained(parrot).eos_token_id)
    config.save_pretrained(str(parrot))  # a server stops where this says, and nowhere else
    with serve(parrot, folder) as made:
        yield made


def model_of(served: Served, tokens: int = 64) -> ServerModel:
    return ServerModel(
        endpoint(served.spec),
        temperature=0.0,
        max_new_tokens=tokens,
        thinking="off",
        patience=HASTY,
    )


def test_a_served_checkpoint_says_what_it_says_when_it_is_loaded_here(served: Served) -> None:
    conversations = [
        Conversation((Message("user", "Count to 1."),)),
        Conversation(
            (Message("user", "x"), Message("assistant", "y"), Message("user", "z\nz")), seed=5
        ),
    ]
    local = LocalModel(served.path, temperature=0.0, max_new_tokens=64, thinking="off")
    remote = model_of(served)
    expected = local.generate(conversations)
    found = remote.generate(conversations)
    remote.close()
    assert [one.text for one in found] == [one.text for one in expected]
    assert [one.finish_reason for one in found] == [one.finish_reason for one in expected]
    assert [(u.prompt_tokens, u.completion_tokens) for u in (one.usage for one in found)] == [
        (u.prompt_tokens, u.completion_tokens) for u in (one.usage for one in expected)
    ]


def test_what_it_refuses_is_recorded(served: Served) -> None:
    model = model_of(served)
    model.close()
    assert sorted(model.facts.refused_fields) == ["min_p", "repetition_penalty", "top_k"]
    assert (model.facts.version, model.facts.context) == (None, None)


def test_a_reply_is_cut_where_it_is_asked_to(served: Served) -> None:
    model = model_of(served, tokens=3)
    (found,) = model.generate([Conversation((Message("user", "a"),))])
    model.close()
    assert (found.finish_reason, found.usage.completion_tokens) == ("length", 3)


def test_episodes_are_scored(served: Served) -> None:
    settings = Settings(temperature=0.0, max_new_tokens=64, max_turns=2)
    agent = specs.load_model(specs.model_spec(served.spec), settings, FAMILY.name)
    cases = [
        Case(FAMILY, FAMILY.task(n, "low"), contract, agent.card, agent.model, settings)
        for n in range(3)
        for contract in specs.CONTRACTS.values()
    ]
    rows = [row(one) for one in run_cases(cases, FakeRuntime(), in_flight=32)]
    agent.model.close()  # type: ignore[attr-defined]
    assert {(one.model, one.model_kind, one.failure) for one in rows} == {
        ("parrot", "server", None)
    }
    assert [one.solved for one in rows].count(True) == len(specs.CONTRACTS)  # of one task
    assert all(one.total_tokens for one in rows)


def test_a_model_that_it_has_not_is_one_line(served: Served) -> None:
    with pytest.raises(UsageError, match="no model 'another'"):
        model_of(served._replace(path=Path("another")))


def test_a_server_that_is_killed_is_a_failure(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "ckpt")
    asked = [Conversation((Message("user", "a"),))]
    with serve(checkpoint, tmp_path) as made:
        model = model_of(made, tokens=4)
        assert model.generate(asked)[0].usage.completion_tokens
        made.process.kill()
        made.process.wait()
        with pytest.raises(ModelFailure, match=rf"ckpt at {made.url}: .*tried 3 times"):
            model.generate(asked)
        model.close()
