"""`--okrt-salt`: other tasks under the same names; the secret stays where it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from okrt.cli import main
from okrt.salt import make_salt, read_salt
from tests.plugin.conftest import Run, plain, rows, text

TELLING = """
import pytest
from dataclasses import replace
from tests.toys import Counter, Counting, block

class Telling(Counting):  # writes its seed where it can
    name = "telling"
    def task(self, seed, tier, split="eval"):
        task = super().task(seed, tier, split)
        prompt = f"Task {seed}. Tools: add(n), finish()."
        return replace(task, family="telling", prompt=prompt, private={"seed": seed})
    def environment(self, task):
        return Counter(1)

def talk(conversation):
    with open("heard", "a") as heard:
        heard.write(f"{conversation}\\n")
    return block("print(globals(), add(1))", "finish()")

@pytest.mark.okrt(family=Telling(), seeds=range(2))
def test_own(episode, okrt_task):
    assert episode.task == okrt_task
    assert episode.outcome.solved

@pytest.mark.okrt(family="opaque_knapsack", tiers=["micro"], seeds=range(2))
def test_shipped(episode, okrt_case):
    assert not okrt_case
"""


@pytest.mark.parametrize("workers", ["2", pytest.param("0", marks=pytest.mark.thorough)])
def test_nothing_tells_the_secret_or_the_seeds(evaluate: Run, pytester: pytest.Pytester) -> None:
    """Not the run, the terminal, a failing test's locals, what the model heard, or JUnit."""
    pytester.makepyfile(test_own=TELLING)
    secret = pytester.path / "team.salt"
    salt = make_salt(secret)
    words = ("--model=test_own:talk", "--runtime=stateless", "--okrt-salt=team.salt")
    result = evaluate(*words, "-vv", "--showlocals", "--junitxml=run/junit.xml")
    result.assert_outcomes(passed=2, failed=2)
    salts = {row["task_id"].partition("~")[2] for row in rows(pytester.path / "run")}
    assert salts == {row["salt"] for row in rows(pytester.path / "run")} == {salt.digest}
    run = json.loads((pytester.path / "run" / "run.json").read_text())
    assert run["salt"] == salt.digest
    told = [text(result).encode(), (pytester.path / "heard").read_bytes()]
    told += [path.read_bytes() for path in (pytester.path / "run").rglob("*") if path.is_file()]
    assert len(told) == 2 + 6
    assert b"CaseSpec(" in told[0]
    hidden = [secret.read_bytes().strip(), salt._key.hex().encode(), repr(salt._key).encode()]
    hidden += [
        str(salt.seed(f"{family}/{seed}")).encode()
        for family in ("telling/low/eval", "opaque_knapsack/micro/eval")
        for seed in range(2)
    ]
    assert not [one for one in hidden for where in told if one in where]


SMALL = ("--model=expert:stateless", "--runtime=stateless", "--tier=micro", "--seeds=2")


def test_what_is_drawn_by_another_salt_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`okrt run` asks what a pytest session asks, in the same place."""
    monkeypatch.chdir(tmp_path)
    one, other = (make_salt(tmp_path / name).digest for name in ("a", "b"))
    for out, words in (("run", ["--salt=a"]), ("other", ["--salt=b"]), ("public", [])):
        assert main(["run", *SMALL, f"--out={out}", *words]) == 0
    assert main(["run", *SMALL, "--salt=a", "--resume=run"]) == 0
    capsys.readouterr()
    for run, words, said in (
        ("run", ["--salt=b"], f"of the salt {one}: the one given is {other}: give --okrt-salt the"),
        ("run", [], f"private tasks of the salt {one}: none is given: give --okrt-salt the file"),
        ("public", ["--salt=a"], "it holds public tasks: leave out --okrt-salt"),
    ):
        assert main(["run", *SMALL, f"--resume={run}", *words]) == 2
        assert said in capsys.readouterr().err
    for strange in ("other", "public"):
        assert main(["merge", "run", strange, "--out", "joined"]) == 2
        assert "are no parts of one work: salt: " in capsys.readouterr().err
    assert main(["merge", "run", "run", "--out", "joined"]) == 0
    assert json.loads(Path("joined/run.json").read_text())["salt"] == one
    assert f"private: salt {one}" in Path("joined/report.md").read_text()


@pytest.mark.thorough
def test_a_session_goes_on_with_its_own_salt_alone(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    for name in ("a", "b"):
        make_salt(pytester.path / name)
    options = ("-n0", "--runtime=stateless", "--model=expert:stateless")
    evaluate(*options, "--okrt-salt=a").assert_outcomes(passed=2)
    refused = evaluate(*options[1:], "--okrt-salt=b", "--okrt-resume=run", out=False)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    assert "it holds private tasks of the salt" in plain(refused)
    evaluate(*options[1:], "--okrt-salt=a", "--okrt-resume=run", out=False).assert_outcomes(
        passed=2
    )


@pytest.mark.parametrize("workers", ["0"])
def test_a_file_that_all_may_read_is_warned_about_once(
    evaluate: Run, pytester: pytest.Pytester
) -> None:
    make_salt(pytester.path / "s")
    (pytester.path / "s").chmod(0o644)
    result = evaluate("--runtime=stateless", "--okrt-salt=s", "--okrt-seeds=1")
    result.assert_outcomes(passed=2, warnings=1)
    assert "(mode 0644): chmod 600 " in text(result)
    assert read_salt(pytester.path / "s").digest in text(result)


@pytest.mark.parametrize("workers", ["0"])
def test_a_salt_that_is_none_is_one_line(evaluate: Run, pytester: pytest.Pytester) -> None:
    (pytester.path / "short").write_text("secret")
    for name, said in (("short", "holds 6 bytes"), ("nowhere", "is not there"), (".", "no file")):
        result = evaluate(f"--okrt-salt={name}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert said in plain(result)
    assert not (pytester.path / "run").exists()
