"""The page as text: what it holds, what it lets run, and that nothing breaks out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from okrt.analysis.brief import briefs
from okrt.analysis.cells import tables
from okrt.analysis.rows import row
from okrt.report.contrasts import claims
from okrt.report.html.facts import facts
from okrt.report.html.page import Content, parts
from okrt.report.html.transcripts import Packer
from okrt.report.html.writing import write_page
from okrt.types import Completion, Episode, Failure, ModelCard, Task, Turn, Usage
from tests.analysis import build
from tests.report.html import runs


class Read(HTMLParser):
    """What a browser would make of a page, as far as it matters here."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.attributes: set[str] = set()
        self.tags: list[str] = []
        self.policy = ""
        self._script: dict[str, str | None] | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self._script = dict(attrs)
            self.scripts.append((self._script, ""))
        if dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        else:
            self.text += data

    def json(self, name: str = "okrt-data") -> Any:
        return json.loads(
            next(text for attributes, text in self.scripts if attributes.get("id") == name)
        )

    def cells(self) -> list[dict[str, Any]]:
        (section,) = self.json()["sections"]
        found: list[dict[str, Any]] = section["cells"]
        return found

    def piece(self, number: int) -> Any:
        name = f"okrt-piece-{number}"
        packed = next(text for attributes, text in self.scripts if attributes.get("id") == name)
        return json.loads(zlib.decompress(base64.b64decode(packed)))


def page(episodes: Sequence[Episode], **more: Any) -> Read:
    """Returns the page of episodes, as it is written."""
    rows = [row(one) for one in episodes]
    kept = list(briefs(rows))
    made = tables(kept)
    with Packer() as packer:
        for one in episodes:
            packer.add(one.id, {"id": one.id})
        pieces = list(packer.pieces())
        found = {one.id: facts(one, of) for one, of in zip(episodes, rows, strict=True)}
        content = Content(
            more.pop("name", "run"), more.pop("run", {}), more.pop("gates", None), made,
            claims(made), kept, found, packer.places, **more,
        )  # fmt: skip
        return Read(b"".join(parts(content, pieces)))


def some(contract: str = "stateless", model: str = "m", task: int = 0, **more: Any) -> Episode:
    """An episode whose second block misses what the first had bound."""
    lost = build.turn("print(x)", execution=build.missing("x"), tokens=(40, 6))
    turns = [build.turn("x = 1", execution=build.ran(["x"]), tokens=(20, 5)), lost]
    turns += [build.turn("x = 2", execution=build.ran(["x"]), reply="x = 2;", tokens=(60, 6))]
    return build.episode(
        *turns,
        id=f"{model}-{contract}-{task}",
        task=Task("f", "easy", "eval", task, 1, "p", {}, 6),
        contract=contract,
        model=ModelCard(model, "dir", "local", None, "persistent", "t"),
        **more,
    )


def test_the_data_of_a_small_run() -> None:
    found = page([some(task=task) for task in range(2)]).json()
    (section,) = found["sections"]
    (cell,) = section["cells"]
    assert (section["models"], section["runtimes"], section["floor"]) == (["m"], ["stateless"], 0.7)
    assert cell["letter"] == "A"
    assert cell["tokens"] == {"value": 137.0, "low": None, "high": None, "at_least": False}
    assert cell["lost"]["value"] == 1.0
    # 20 + 15 + 14 read first, 17 made, of these 6 of 6 characters of the last reply written again
    assert cell["parts"] == {"read": 49.0, "made": 11.0, "again": 6.0, "fed": 71.0}
    assert [turn["mean"] for turn in cell["turns"]] == [25, 46, 66]
    assert cell["errors"] == [
        {"kind": "lost variable", "first": 2, "last": 2, "count": 2, "of": 2, "share": 1.0}
    ]
    assert (cell["redefinitions"], cell["repeated"]) == (1, 0)
    episodes = found["episodes"]
    assert episodes["names"]["task"] == ["f/easy/eval/0@1", "f/easy/eval/1@1"]
    assert (episodes["task"], episodes["lost"], episodes["errors"]) == ([0, 1], [1, 1], [1, 1])
    assert (episodes["piece"], episodes["place"]) == ([0, 0], [0, 1])


def test_what_costs_most_and_what_breaks_is_marked() -> None:
    kept = [some("persistent", task=task) for task in range(12)]
    whole = build.turn("x = 1", execution=build.ran(["x"]), tokens=(20, 5))
    kept = [
        build.episode(whole, id=one.id, task=one.task, contract="persistent", model=one.model)
        for one in kept
    ]
    cells = page([*kept, *(some(task=task) for task in range(12))]).json()["sections"][0]["cells"]
    assert [(cell["runtime"], cell["most"], cell["breaks"]) for cell in cells] == [
        ("persistent", False, False),
        ("stateless", True, True),
    ]


def test_one_loss_in_a_few_episodes_breaks_nothing() -> None:
    (cell,) = page([some()]).json()["sections"][0]["cells"]
    assert cell["lost"]["value"] == 1.0
    assert not cell["breaks"]
    assert not cell["most"]


def test_tokens_of_different_tokenizers_are_not_compared() -> None:
    one = some("persistent")
    card = ModelCard("n", "dir", "local", None, "persistent", "another")
    other = build.episode(build.turn(), id="n", task=one.task, model=card)
    assert [cell["most"] for cell in page([one, replace(other, model=one.model)]).cells()] == [
        True,
        False,
    ]
    assert not any(cell["most"] for cell in page([one, other]).cells())


def test_what_is_claimed_stands_with_the_figures() -> None:
    found = page([some(contract, task=task) for contract in ("a", "b") for task in range(12)])
    assert "What differs between cells" not in found.text
    both = [
        some(contract, task=task) for contract in ("persistent", "stateless") for task in range(12)
    ]
    assert "claims corrected by Holm" in page(both).text


def test_only_the_pages_own_scripts_may_run() -> None:
    read = page([some()])
    running = [text for attributes, text in read.scripts if "type" not in attributes]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    assert [f"'sha256-{one}'" for one in hashes] == re.findall(r"'sha256-[^']+'", read.policy)
    assert read.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not any(
        word in read.policy for word in ("http", "*", "unsafe-eval", "connect", "'self'")
    )
    assert not {name for name in read.attributes if name.startswith("on")}
    assert not {"link", "img", "iframe", "object", "base"} & {*read.tags}
    assert "src" not in read.attributes


@pytest.mark.parametrize("text", runs.HOSTILE, ids=range(len(runs.HOSTILE)))
def test_text_stays_in_its_place(text: str) -> None:
    bad = ModelCard(text, text, "local", text, "persistent", text)
    one = build.episode(
        build.turn(text), id=text, task=Task(text, text, "eval", 0, 1, text, {}, 6), model=bad,
        contract=text, failure=None,
    )  # fmt: skip
    broken = build.episode(
        id="broken", task=one.task, model=bad, outcome=None,
        failure=Failure("model", text, text),
    )  # fmt: skip
    gates = {
        "schema": 1,
        "verdict": text,
        "words": text,
        "incomplete": [text],
        "gates": [{"name": text}],
    }
    run = {"created": text, "arguments": [text], "settings": {text: text}, "versions": {text: text}}
    hostile = page([one, broken], name=text, run=run, gates=gates, problems=[text])
    calm = page([some(), some("persistent")])
    scripts = [len([t for a, t in read.scripts if "type" not in a]) for read in (hostile, calm)]
    assert scripts[0] == scripts[1]
    assert {*hostile.tags} - {*calm.tags} == set()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u200b]", hostile.text)
    assert hostile.json()["episodes"]["id"][0] in (text, "broken")
    assert len(hostile.text) < 100_000


def test_a_run_without_episodes() -> None:
    read = page([])
    assert "No episodes." in read.text
    assert "Nothing was decided" in read.text
    assert read.json()["sections"] == []


def test_only_failures() -> None:
    failed = build.episode(outcome=None, failure=Failure("model", "TimeoutError", "no answer"))
    read = page([failed])
    assert "Infrastructure failures: 1 episode, never scored" in read.text
    (cell,) = read.json()["sections"][0]["cells"]
    assert (cell["n"], cell["failures"], cell["score"], cell["tokens"]) == (0, 1, None, None)
    assert read.json()["episodes"]["ending"] == ["infrastructure (model)"]


def test_nothing_was_measured() -> None:
    silent = Turn(Completion("", "stop", Usage()), "", None, None, "", reply_problem="no_block")
    (cell,) = page([build.episode(silent)]).json()["sections"][0]["cells"]
    assert (cell["tokens"], cell["parts"], cell["turns"]) == (None, None, [])
    assert cell["errors"][0]["kind"] == "no block to run"


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        (None, "Nothing was decided: this run was judged by no gates."),
        ({}, "gates.json is of schema None, which this version cannot read"),
        ({"schema": 2, "verdict": "pass"}, "gates.json is of schema 2"),
        ({"schema": 1, "verdict": "fail", "words": "2 of 5 gates failed"}, "fail: 2 of 5"),
        ({"schema": 1, "gates": 7, "baseline": [], "incomplete": {}}, "unknown: no reason"),
    ],
)
def test_the_verdict_stands_first(gates: dict[str, Any] | None, said: str) -> None:
    read = page([some()], gates=gates)
    assert said in read.text
    assert read.text.index(said) < read.text.index("model x runtime")


def test_each_gate_says_what_was_found_and_why_it_stands() -> None:
    gate = {
        "name": "lost", "metric": "lost_rate", "model": "m", "runtime": "stateless", "tier": "easy",
        "against": None, "kind": "at_most", "limit": 0.05, "verdict": "fail", "value": 1.0,
        "low": 0.863, "high": None, "level": 0.9, "method": "exact", "n": 25,
        "reason": "the whole interval lies above", "why": "a user notices",
    }  # fmt: skip
    base = {"name": "release-1", "run": {"created": "2026-01-01", "commit": None}, "digest": "ab"}
    gates = {"schema": 1, "verdict": "fail", "words": "fail: lost", "gates": [gate]}
    read = page([], gates={**gates, "file": "release.toml", "baseline": base})
    for text in (
        "Gates: release.toml", "Baseline: release-1 (run 2026-01-01).", "✗fail: lost",
        "✗ fail", "m, stateless, easy", "1 [0.863, …] (n = 25, 90%)", "lost_rate at most 0.05",
        "the whole interval lies above", "a user notices",
    ):  # fmt: skip
        assert text in read.text


def test_a_damaged_gates_file_and_a_torn_line_are_told_of(tmp_path: Path) -> None:
    path = runs.write_run(tmp_path / "run", [some()])
    (path / "gates.json").write_text("{")
    with (path / "episodes.jsonl").open("a") as episodes:
        episodes.write('{"schema": 9}\n')
    read = Read(write_page(path).read_bytes())
    assert "gates.json cannot be read, the verdict is not shown" in read.text
    assert "episodes.jsonl:2: schema 9 is unknown" in read.text


def test_transcripts_lie_beside_a_large_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = runs.write_run(tmp_path / "run", [some(task=task) for task in range(3)])
    inside = Read(write_page(path, tmp_path / "inside.html").read_bytes())
    for name, size in (("INSIDE_BYTES", 10), ("FILE_BYTES", 10)):
        monkeypatch.setattr(f"okrt.report.html.writing.{name}", size)
    monkeypatch.setattr("okrt.report.html.transcripts.PIECE_BYTES", 10)
    read = Read(write_page(path).read_bytes())
    files = read.json()["files"]
    assert files == [f"report_files/transcripts-{number}.js" for number in range(3)]
    assert "script-src 'sha256-" in read.policy
    assert "'self' file:" in read.policy
    found = []
    for number, name in enumerate(files):
        told = (path / name).read_text()
        packed = re.fullmatch(r'okrtPiece\((\d+), "([A-Za-z0-9+/=]*)"\);\n', told)
        assert packed is not None
        assert int(packed[1]) == number
        found += json.loads(zlib.decompress(base64.b64decode(packed[2])))
    assert found == inside.piece(0)
