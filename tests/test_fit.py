"""What traces assume against what a runtime keeps: every pair of verdicts, and the command."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from okrt import fit
from okrt.analysis.stats import rate_interval
from okrt.audit.totals import Audit, audit_traces
from okrt.errors import UsageError
from okrt.probe.report import Report, Verdict

PERSISTENT = ["x = 1", "print(x)"]
STATELESS = ["rows = [1, 2, 3]\nprint(rows)", "rows = [1, 2, 3]\nprint(sum(rows))"]


def audited(verdict: Verdict | str) -> Audit:
    audit = replace(audit_traces([]), missing_rate=rate_interval(4, 5))
    return replace(audit, verdict=verdict)  # type: ignore[arg-type]


def probed(verdict: Verdict) -> Report:
    return Report(1, "t", verdict, "names come and go", (), 1, 0.1)


@pytest.mark.parametrize(
    ("traces", "runtime", "fits", "told"),
    [
        ("persistent", "persistent", True, "assume that names last from block to block, and this"),
        ("persistent", "stateless", False, "does not keep them: expect missing variables in 80%"),
        ("mixed", "persistent", True, "some of these traces"),
        ("mixed", "stateless", False, "some of these traces"),
        ("stateless", "stateless", True, "and here none does"),
        ("stateless", "persistent", True, "restating them costs tokens"),
        ("undecided", "persistent", None, "too few of these traces"),
        ("persistent", "neither", None, "cannot say: of this runtime, names come and go"),
        ("undecided", "neither", None, "cannot say: of this runtime, names come and go"),
        ("stateless", "neither", True, "fits every runtime; here, names come and go"),
        ("stateless", "unknown", True, "fits every runtime"),
    ],
)
def test_each_pair_has_its_sentence(
    traces: str, runtime: Verdict, fits: bool | None, told: str
) -> None:
    found = fit.fit(audited(traces), probed(runtime))
    assert found.fits is fits
    assert told in found.sentence


def command(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    fit.configure(parser)
    return parser.parse_args(arguments)


def traces(file: Path, blocks: list[str]) -> str:
    messages = []
    for block in blocks:
        messages += [
            {"role": "assistant", "content": f"```python\n{block}\n```"},
            {"role": "user", "content": "ok"},
        ]
    file.write_text(f"{json.dumps({'messages': messages})}\n" * 12)
    return str(file)


@pytest.mark.parametrize(
    ("blocks", "target", "status", "told"),
    [
        (PERSISTENT, "stateless", 1, "does not fit: these traces assume that names last"),
        (PERSISTENT, "persistent", 0, "fits: these traces assume that names last"),
        (STATELESS, "stateless", 0, "fits: these traces assume that no names last"),
    ],
)
def test_one_line_and_an_exit_status(
    blocks: list[str], target: Verdict, status: int, told: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(fit, "probe", lambda *_: probed(target))
    options = command("--traces", traces(tmp_path / "t.jsonl", blocks), "--target", target)
    assert fit.run(options) == status
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(told)


def test_what_cannot_be_said_of_a_run_is_left_to_its_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "probe", lambda *_: probed("neither"))
    run = tmp_path / "run"
    run.mkdir()
    traces(run / "episodes.jsonl", PERSISTENT)
    file = traces(tmp_path / "t.jsonl", PERSISTENT)
    for given, target, more in (
        (
            str(run),
            "reset-every-3",
            f"; okrt replay {run} --runtime reset-every-3 runs their blocks in it",
        ),
        (str(run), "jupyter", ""),
        (file, "reset-every-3", ""),
    ):
        assert fit.run(command("--traces", given, "--target", target)) == 1
        said = capsys.readouterr().out
        assert said == f"undecided: cannot say: of this runtime, names come and go{more}\n"


def test_json_says_it_too_of_a_real_runtime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = traces(tmp_path / "t.jsonl", PERSISTENT)
    assert fit.run(command("--traces", file, "--target", "stateless", "--json")) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["fits"], shown["traces"], shown["runtime"]) == (False, "persistent", "stateless")
    assert shown["missing_rate"]["value"] == 1


def test_a_process_that_is_kept_is_a_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = traces(tmp_path / "t.jsonl", PERSISTENT)
    target = f"python --keep --wait=0.5 -- {sys.executable} -iq"
    assert fit.run(command("--traces", file, "--target", target)) == 0
    assert capsys.readouterr().out.startswith("fits: these traces assume that names last")


def test_a_target_that_cannot_be_probed_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = traces(tmp_path / "t.jsonl", PERSISTENT)
    assert fit.run(command("--traces", file, "--target", "python -- false")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("okrt: cannot probe")


def test_traces_without_code_are_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"messages": [{"role": "assistant", "content": "no code"}]}\n')
    with pytest.raises(UsageError, match="no code in"):
        fit.run(command("--traces", str(file), "--target", "stateless"))
