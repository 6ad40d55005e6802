"""Gate files: what is read, and one line for each mistake, with its place and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from okrt.analysis.measures import MEASURED
from okrt.errors import UsageError
from okrt.gates.file import RELEASE, SHIPPED, Other, find, read
from okrt.gates.limits import kinds_of
from okrt.gates.places import line_of
from okrt.types import Kept
from tests.gates.build import RUN, file, gate

BASELINE = 'against = "baseline"'


def test_a_file_is_read(tmp_path: Path) -> None:
    run = (
        '[run]\ntiers = ["micro", "easy"]\nseeds = "10:30"\nrepeats = 2\n'
        'runtimes = ["stateless", "persistent"]\n[conditions]\nisolation = "T1"\n'
    )
    found = file(
        tmp_path,
        gate("lost_rate", "at_most = 0.5", 'runtime = "stateless"', 'reason = "so"'),
        gate("score", "not_lower_by = 0.04", BASELINE, 'tier = "easy"', name="b"),
        gate("turns", "ratio_at_most = 2", 'against = {runtime = "persistent"}',
             'runtime = "stateless"', "level = 0.9", name="c"),
        run=run,
    )  # fmt: skip
    assert (found.tiers, found.seeds, found.repeats) == (("micro", "easy"), range(10, 30), 2)
    assert found.runtimes == {"stateless": "stateless", "persistent": "persistent"}
    assert (found.isolation, found.failures, found.name) == ("T1", 0.01, "gates.toml")
    first, second, third = found.gates
    assert (first.metric.name, first.kind, first.limit) == ("lost_rate", "at_most", 0.5)
    assert (first.contract, first.tier, first.model, first.why) == ("stateless", None, None, "so")
    assert (second.against, second.tier, second.level) == ("baseline", "easy", 0.95)
    assert (third.against, third.limit, third.level) == (Other("persistent", None), 2, 0.9)
    assert found.wants_baseline
    assert len(found.digest) == 64


def test_the_files_of_the_docs_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "gates.md").read_text()
    shown = re.findall(r"^```python (\w+\.toml)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(shown) == 3
    for name, content in shown:
        (tmp_path / name).write_text(content)
        assert read(tmp_path / name).gates


def test_the_table_of_limits_is_that_of_the_code() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gates.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| cell [a-z]+ other \| (.*) \|$", page, re.MULTILINE))
    amounts = {"turns": "turns", "tokens": "total_tokens", "characters": "transcript_chars"}
    for kind, listed in rows.items():
        named = {word.strip("`,") for word in listed.split()}
        named = {amounts.get(word, word) for word in named}
        can = {name for name, metric in MEASURED.items() if kind in kinds_of(metric)}
        assert named <= can, kind
        assert can - named <= {"completion_tokens", "new_tokens"}, kind
    assert len(rows) == 4


def test_gates_may_stand_in_a_pyproject_file(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    text = RUN.replace("[run]", "[tool.okrt.gates.run]")
    text += gate("score", "at_least = 0.5").replace("[[gate]]", "[[tool.okrt.gates.gate]]")
    path.write_text('[project]\nname = "x"\n' + text)
    assert read(path).gates[0].limit == 0.5
    path.write_text(path.read_text().replace("at_least = 0.5", "at_least = 50"))
    with pytest.raises(UsageError, match=r"pyproject.toml:12: .*at_least = 50"):
        read(path)
    path.write_text('[project]\nname = "x"\n')
    with pytest.raises(UsageError, match=r"it has no \[tool.okrt.gates\]"):
        read(path)


def test_a_runtime_of_a_plugin_is_known_by_its_name(tmp_path: Path) -> None:
    class Own:
        name = "own"
        notice = false_notice = ""

        def keeps(self, turn: int, last: object) -> Kept:
            return Kept(names=False, files=False)

    path = tmp_path / "gates.toml"
    path.write_text(RUN.replace('"stateless"', '"mine"') + gate("score", "at_least = 0.5"))
    assert read(path, lambda name: Own() if name == "mine" else None).runtimes == {"mine": "own"}


GOOD = gate("score", "at_least = 0.5")
WRONG = {
    "no-toml": (RUN + "x = = 1", ":6: it is no TOML"),
    "twice": (RUN + "seeds = 3\n" + GOOD, ":6: it is no TOML"),
    "no-gate": (RUN, "lacks gate"),
    "empty-gate": (RUN.replace("[run]", "gate = []\n[run]"), "it has no [[gate]]: nothing"),
    "no-run": (GOOD, "lacks run"),
    "no-tiers": (RUN.replace('tiers = ["easy"]\n', "") + GOOD, ":2: run lacks tiers"),
    "table": (RUN + "[other]\nx = 1\n" + GOOD, ":6: unknown 'other'; known: run, gate, conditions"),
    "run-key": (RUN + "cells = 1\n" + GOOD, ":6: unknown 'cells'; known: tiers, seeds"),
    "key": (RUN + gate("score", "at_leats = 0.5"), ":10: unknown 'at_leats'; known: name, metric"),
    "condition": (RUN + "[conditions]\nx = 1\n" + GOOD, ":7: unknown 'x'; known: isolation"),
    "no-name": (RUN + GOOD.replace('name = "a gate"', ""), ":7: gate lacks name"),
    "type": (RUN + gate("score", 'at_least = "0.5"'), ":10: gate.at_least: expected float"),
    "tier": (RUN.replace("easy", "esay") + GOOD, ":3: unknown tier 'esay' of opaque_knapsack; kno"),
    "tiers-twice": (RUN.replace('"easy"', '"easy", "easy"') + GOOD, ":3: tiers = "),
    "seeds": (RUN.replace("20", "0") + GOOD, ":4: seeds '0' is an empty range"),
    "seeds-text": (RUN.replace("20", '"all"') + GOOD, ":4: cannot read seeds 'all'"),
    "repeats": (RUN + "repeats = 0\n" + GOOD, ":6: repeats = 0: 1 or more"),
    "cap": (RUN + "tool_cap = 0\n" + GOOD, ":6: tool_cap = 0: 1 or more"),
    "runtime": (RUN.replace("stateless", "statless") + GOOD, ":5: unknown runtime 'statless'; kno"),
    "runtimes": (RUN.replace('"stateless"', "") + GOOD, ":5: runtimes is empty"),
    "family": (RUN + 'family = "chess"\n' + GOOD, ":6: unknown family 'chess'; known: opaque_kn"),
    "isolation": (RUN + '[conditions]\nisolation = "T2"\n' + GOOD, ":7: isolation = 'T2'; known: "),
    "share": (RUN + "[conditions]\ninfrastructure_failures_at_most = 1\n" + GOOD, ":7: infra"),
    "metric": (RUN + gate("scroe", "at_least = 0.5"), ":9: unknown metric 'scroe'; "),
    "own-tier": (RUN + gate("score", "at_least = 0.5", 'tier = "hard"'), ":11: tier"),
    "own-runtime": (
        RUN + gate("score", "at_least = 0.5", 'runtime = "persistent"'),
        ":11: runtime 'persistent' is none of [run]; known: stateless",
    ),
    "model": (RUN + gate("score", "at_least = 0.5", 'model = ""'), ":11: model = ''"),
    "names": (RUN + GOOD + GOOD, ":13: the name is taken by the gate of line 8"),
    "blank": (RUN + GOOD.replace("a gate", " "), ":8: gate ' ': a name is one line of text"),
    "no-limit": (RUN + gate("score", ""), "one limit is needed, it has none; known: at_least, not"),
    "limits": (RUN + gate("score", "at_least = 0.5\nwithin = 0.1"), "it has at_least, within; kn"),
    "direction": (RUN + gate("lost_rate", "at_least = 0.5"), ":10: at_least makes no"),
    "no-ratio": (RUN + gate("score", "ratio_at_least = 0.9", BASELINE), "no sense for score;"),
    "percent": (RUN + gate("lost_rate", "at_most = 5"), ":10: at_most = 5: a share"),
    "hopeless": (
        RUN + gate("lost_rate", "at_most = 0.05"),
        ":10: at_most = 0.05: 20 tasks a cell can never show it: 59 without one slip are the few",
    ),
    "hopeless-least": (RUN + gate("finished_rate", "at_least = 0.9"), "29 without one slip are"),
    "never": (RUN + gate("lost_rate", "at_most = 0"), "at_most = 0: a share lies above 0"),
    "points": (RUN + gate("score", "not_lower_by = 3", BASELINE), "(3 points are 0.03)"),
    "sign": (RUN + gate("score", "not_lower_by = -0.03", BASELINE), "the direction is in the name"),
    "zero": (RUN + gate("score", "within = 0", BASELINE), "lies above 0 and below 1"),
    "factor": (RUN + gate("turns", "ratio_at_most = 10", BASELINE), "1.10 allows ten percent"),
    "no-factor": (RUN + gate("turns", "ratio_at_most = 0.10", BASELINE), "1.10 allows ten percent"),
    "within": (RUN + gate("turns", "within = 0.1", BASELINE), "a factor lies above 1 and below 10"),
    "tokens": (RUN + gate("total_tokens", "not_higher_by = 0.1", BASELINE), "write ratio_at_most"),
    "tokens-most": (RUN + gate("total_tokens", "at_most = 0.5"), "tokens are at least 1"),
    "relative": (RUN + gate("relative_score", "at_least = 90"), "lies between 0 and 2"),
    "nan": (RUN + gate("score", "at_least = nan"), "a limit is a finite number"),
    "level": (RUN + gate("score", "at_least = 0.5", "level = 95"), ":11: level = 95:"),
    "level-next-to-1": (RUN + gate("score", "at_least = 0.5", "level = 0.9999999999999"), "0.999,"),
    "level-half": (RUN + gate("score", "at_least = 0.5", "level = 0.05"), "from 0.501 to 0.999"),
    "against": (RUN + gate("score", "within = 0.1", 'against = "old"'), ":11: against"),
    "against-key": (
        RUN + gate("score", "within = 0.1", 'against = {cell = "x"}'),
        ":11: unknown 'cell'; known: runtime, model",
    ),
    "alone": (RUN + gate("score", "within = 0.1"), ":10: within compares with someth"),
    "absolute": (RUN + gate("score", "at_least = 0.1", BASELINE), "limit by itself: leave out"),
    "own-cell": (
        RUN + gate("score", "within = 0.1", 'against = {runtime = "stateless"}',
                   'runtime = "stateless"'),
        ":11: against names the gate's own cell",
    ),
    "whose": (
        RUN + gate("score", "within = 0.1", 'against = {model = "b"}'),
        ":11: against names a model, the gate itself none: add model = \"NAME\", which is",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, case: str) -> None:
    content, said = WRONG[case]
    path = tmp_path / "gates.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        read(path, decidable=True)
    message = str(caught.value)
    assert said in message.replace("gate 'a gate': ", "")
    assert "\n" not in message
    assert message.startswith(f"{path}:")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="no UTF-8"):
        read(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path)
    for text in ("nosuch.toml", "", "."):
        with pytest.raises(UsageError, match="`release` names those that ship"):
            find(text, tmp_path)
    assert find("gates.toml", tmp_path) == path
    assert find(RELEASE, tmp_path) == SHIPPED


def test_lines_are_found_where_they_are_written() -> None:
    text = (
        '# gate\n[run]\nname = 1\n\n[[gate]]\nname = "a"\n[[ "gate" ]] # x\n"name" = "b"\nx.y = 1\n'
    )
    assert line_of(text, "run", 0, "name") == 3
    assert line_of(text, "gate", 0, "name") == 6
    assert line_of(text, "gate", 1, "name") == 8
    assert line_of(text, "gate", 1, "x") == 9
    assert line_of(text, "gate", 1, "nosuch") == 7
    assert line_of(text, "nosuch") == 1
    assert line_of('gate = [\n{name = "a"}]\n', "gate", 0, "name") == 1
