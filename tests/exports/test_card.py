"""`okrt card`: what one page says, and what it does not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from okrt.analysis.brief import Brief
from okrt.analysis.brief import briefs as to_briefs
from okrt.analysis.rows import Row
from okrt.errors import UsageError
from okrt.exports.card import card, choose
from okrt.exports.reproducing import command_of
from tests.exports.cells import broken, cell, cross
from tests.report.test_tables import RUN, make


def briefs(rows: list[Row]) -> list[Brief]:
    return list(to_briefs(rows))


def made(rows: list[Row], label: str = "m", **run: object) -> str:
    return card(briefs(rows), label, {**RUN, **run})


def both(trained: str = "persistent") -> list[Row]:
    return cell("m", "persistent", trained) + cell("m", "stateless", trained)


def test_it_says_what_was_declared_and_what_the_other_runtime_does() -> None:
    text = card(briefs(cross()), "persistent-8b", RUN)
    assert text.startswith("# Runtime fit: persistent-8b\n\n**Trained under:** persistent, as")
    assert "**Not measured:**" not in text
    assert "|  | persistent (declared) | stateless |" in text
    said = dict(re.findall(r"^- (.*?), stateless (?:less|over) persistent: (.*)$", text, re.M))
    assert said["score"].startswith("different: -0.1975 [-0.2")
    assert re.match(r"different: 1\.9\d* \[1\.9", said["total tokens"])
    assert re.match(r"different: 1 \[0\.\d+, 1\]", said["share of lost-variable episodes"])
    assert "stateless-8b" not in text


def test_what_a_stateless_model_does_is_said_the_other_way_round() -> None:
    text = made(both("stateless"))
    assert "- total tokens, persistent over stateless: different: 1.9" in text
    assert "stateless (declared)" in text


def test_conditions_are_named() -> None:
    settings = {"max_new_tokens": 240, "token_budget": None}
    text = made(both(), settings=settings, versions={"okrt": "1.2"}, complete=False)
    for line in (
        "- model: dir/m (local)", "- tool_cap: 25", "- max_turns: 40", "- temperature: 0.2",
        "- max_new_tokens: 240", "- token_budget: none", "- versions: okrt 1.2",
        "- isolation of the code that ran: process", "- names: off", "- packages: none",
    ):  # fmt: skip
        assert f"\n{line}\n" in text
    assert "## opaque_knapsack/easy\n\n12 tasks (eval, seeds 0-11), tool cap 25.\n" in text
    assert "the run is incomplete" in text
    assert "Undecided is not equal" in text


def test_each_family_and_tier_is_apart_and_corrected_together() -> None:
    one = made(both())
    hard = [replace(row, tier="hard", task_id=f"hard{row.seed}") for row in both()]
    two = made(both() + hard)
    assert two.count("## opaque_knapsack/") == 2
    p = "adjusted p "
    least = [
        min(float(found) for found in re.findall(rf"{p}([\d.e-]+)", text)) for text in (one, two)
    ]
    assert least[0] < least[1]


def test_of_one_runtime_alone_it_says_that_the_other_was_not_measured() -> None:
    away = made(cell("m", "persistent", "persistent"))
    assert "**Not measured:** what happens in the stateless runtime, the other contract" in away
    assert "Compared task by task" not in away
    home = made(cell("m", "stateless", "persistent") + broken("m", "persistent"))
    assert "in the persistent runtime, its own contract. Nothing is known of it." in home
    unknown = made(cell("m", "persistent", "unknown"))
    assert "**Trained under:** not declared." in unknown
    assert "in the stateless runtime. Nothing is known" in unknown


def test_a_model_that_nothing_was_declared_of_is_compared_all_the_same() -> None:
    text = made(both("unknown"))
    assert "(declared)" not in text
    assert "- score, stateless less persistent: " in text


def test_where_the_runtime_changes_nothing_it_says_so() -> None:
    rows = [replace(row, transcript_digest=str(row.seed)) for row in both("mixed")]
    text = made(rows)
    assert "- transcripts, stateless and persistent: identical in 12 of 12 tasks" in text
    assert "the runtime changed nothing" in text
    assert "score, stateless" not in text


def test_an_expert_has_no_fit_card() -> None:
    rows = [make("expert:a", kind, seed) for kind in ("persistent", "stateless") for seed in (0, 1)]
    text = made(rows, "expert:a")
    assert text.startswith("# Self-check of the harness: expert:a\n\n**Not a fit card.**")


def test_which_model_is_meant() -> None:
    assert choose(briefs(both()), None) == "m"
    assert choose(briefs([*both(), make("expert:a", "persistent", 0)]), None) == "m"
    assert choose(briefs(cross()), "stateless-8b") == "stateless-8b"
    for rows, label, said in (
        (cross(), None, "choose by --model LABEL among persistent-8b, stateless-8b"),
        (cross(), "nosuch", "no model 'nosuch' here: there is persistent-8b, stateless-8b"),
        ([], None, "no episodes"),
        ([make(f"m{n:02}", "persistent", 0) for n in range(12)], None, "m09 and 2 more"),
    ):
        with pytest.raises(UsageError, match=re.escape(said)):
            choose(briefs(rows), label)


def test_of_failures_alone_nothing_can_be_said() -> None:
    with pytest.raises(
        UsageError, match=r"nothing to say of m: infrastructure broke off every episode \(3\)"
    ):
        made(broken("m", "persistent"))


def test_a_verdict_of_gates_is_passed_on() -> None:
    gates = {"verdict": "fail", "words": "tokens too many", "file": "release.toml"}
    text = card(briefs(both()), "m", RUN, gates)
    assert "- gates (release.toml): fail: tokens too many\n" in text


@pytest.mark.parametrize(
    ("run", "command"),
    [
        (
            {"arguments": ["run", "--model", "m", "--out", "d", "--seeds=2"]},
            "okrt run --model m --seeds=2",
        ),
        ({"arguments": ["run", "--okrt-out=d", "--shard", "1/3"]}, "okrt run"),
        ({"arguments": ["run"], "manifest": {"a": {}}}, "pytest run"),
        ({"arguments": ["evals", "-k", "a b"], "manifest": {}}, "pytest evals -k 'a b'"),
        ({"arguments": [], "manifest": {"a": {}}}, "pytest"),
        ({}, ""),
        ({"arguments": ["--model=m@http://u:p@h/v1?key=1"]}, "pytest '--model=m@http://h/v1?key=***'"),
        (
            {"arguments": ["--api-key", "abc", "--token", "x", "evals"]},
            "pytest --api-key '***' --token '***' evals",
        ),
        ({"arguments": ["--max-new-tokens", "240"]}, "pytest --max-new-tokens 240"),
    ],
)  # fmt: skip
def test_the_command_that_reproduces_it_has_no_secrets(
    run: dict[str, object], command: str
) -> None:
    assert command_of(run) == command


def test_text_from_outside_breaks_nothing() -> None:
    label = "m|x\n# <script>alert(1)</script>\x1b[31m\u202e" + "y" * 10_000
    rows = [replace(row, model=label, model_spec="s\n\n# t") for row in both()]
    text = made(rows, label, arguments=["a\n```\n# b"], settings={"max_new_tokens": "\n# c"})
    assert "<script" not in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert [line for line in text.splitlines() if line.startswith("# ")] == [text.splitlines()[0]]
    assert max(map(len, text.splitlines())) < 1_100
