"""Evaluations of a server's model, and no trace of its key in anything that is left or printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import okrt.models.openai_server  # noqa: F401  loaded once: pytester forgets what a run imports
from okrt import specs
from tests.faults.server import FaultServer
from tests.plugin.conftest import Run, plain, rows, text

KEY = "geheim-4711-abc"
alone = pytest.mark.parametrize("workers", ["0"])
"""What is the same in both layouts: workers take long to start."""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(specs.EXPERTS["opaque_knapsack"]("persistent"), key=KEY) as made:
        yield made


def trained(server: FaultServer) -> list[str]:
    return [f"--model={server.spec}", "--okrt-trained-under=m=persistent", "--runtime=stateless"]


@alone
def test_a_server_s_model_is_evaluated(
    evaluate: Run, server: FaultServer, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKRT_API_KEY", KEY)
    server.facts = {"/version": b'{"version": "0.11.0"}'}
    result = evaluate(*trained(server))
    result.assert_outcomes(passed=2)
    found = rows(pytester.path / "run")
    assert {row["model_kind"] for row in found} == {"server"}
    assert {row["model_digest"] for row in found} == {None}
    assert all(row["total_tokens"] > 0 for row in found)
    episode = json.loads((pytester.path / "run" / "episodes.jsonl").read_text().splitlines()[0])
    assert episode["model"]["server"]["version"] == "0.11.0"
    assert_no_trace(pytester.path, result)


@alone
def test_a_key_in_the_url_leaves_no_trace(
    evaluate: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultServer(specs.EXPERTS["opaque_knapsack"]("persistent")) as server:
        url = server.url.replace("//", "//user:geheim99@") + "?code=geheim88"
        result = evaluate(f"--model=m@{url}", "--runtime=stateless")
        assert "geheim88" in str(server.paths), "it was used"
        authorized = {one["authorization"] for one in server.headers}
    result.assert_outcomes(passed=2)
    assert authorized == {"Basic dXNlcjpnZWhlaW05OQ=="}
    assert_no_trace(pytester.path, result, "dXNlcjpnZWhlaW05OQ")


def test_a_server_that_says_the_key_leaves_no_trace(
    evaluate: Run, server: FaultServer, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKRT_API_KEY", KEY)

    def blab(request: dict[str, Any], answer: Any) -> tuple[int, Any]:
        if request["max_tokens"] == 1:
            return 200, answer
        return 403, {"error": {"message": f"{KEY} may not do this, Bearer {KEY} neither"}}

    server.change = blab
    result = evaluate(*trained(server))
    result.assert_outcomes(errors=2)
    shown = text(result)
    assert "infrastructure failed (model): m at http://127.0.0.1" in shown
    assert "403: *** may not do this, Bearer *** neither" in shown
    assert {row["failure"]["error_type"] for row in rows(pytester.path / "run")} == {
        "PermissionDeniedError"
    }
    assert_no_trace(pytester.path, result)


TALKATIVE = """
import os, pytest

def talk(conversation):
    raise ValueError("headers: " + os.environ["OKRT_API_KEY"])
"""


@alone
def test_an_exception_of_a_model_of_one_s_own_leaves_no_trace(
    evaluate: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKRT_API_KEY", KEY)
    pytester.makepyfile(own=TALKATIVE, test_fit=_evaluation())
    result = evaluate("--model=own:talk", "--runtime=stateless")
    assert "ValueError: headers: ***" in text(result)
    assert_no_trace(pytester.path, result)


def _evaluation() -> str:
    return """
    import pytest

    @pytest.mark.okrt(tiers=["micro"], seeds=range(1))
    def test_fit(episode):
        pass
    """


@alone
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("m@localhost:8000/v1", "names no server: write NAME@http://host:port/v1"),
        ("m@http://user:geheim99@host:port/v1", "the URL cannot be read"),
    ],
)
def test_a_mistake_in_a_spec_is_a_usage_error(
    evaluate: Run, pytester: pytest.Pytester, spec: str, message: str
) -> None:
    result = evaluate(f"--model={spec}", out=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in plain(result)
    assert "geheim" not in text(result)


def test_a_server_that_cannot_be_used_ends_the_session_with_one_line(
    evaluate: Run, server: FaultServer, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OKRT_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = evaluate(*trained(server))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    shown = plain(result)
    assert f"okrt: {server.url} wants a key (401: Unauthorized: Bearer ***)" in shown
    assert not (pytester.path / "run" / "episodes.jsonl").exists()


@alone
def test_no_server_is_asked_where_no_evaluation_is_collected(
    evaluate: Run, server: FaultServer, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_plain="def test_plain():\n    pass")
    evaluate(f"--model={server.spec}").assert_outcomes(passed=1)
    assert server.paths == []


def assert_no_trace(folder: Path, result: pytest.RunResult, *more: str) -> None:
    """Searches what was printed and every file that the session left."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert any(file.name == "episodes.jsonl" for file in files)
    for secret in ("geheim", *more):
        assert secret not in text(result)
        for file in files:
            assert secret not in file.read_text("utf-8", "replace"), file
