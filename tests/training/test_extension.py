"""Caps, further contracts and the control: findings of known truth; and what is played of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from okrt.analysis.brief import Brief, briefs
from okrt.analysis.rows import row
from okrt.store import RunDirectory
from okrt.types import Episode
from training import reproduce
from training.tiny import control, extension, sessions, swept
from training.tiny.making import sizes
from training.tiny.page import UNKNOWN_CAP, UNKNOWN_SEEN, page
from training.tiny.play import CAPS, OWN, SLACK, TIGHT
from training.tiny.sessions import Session, play_missing
from training.tiny.study import Study, capped_sessions, control_sessions, extended_sessions
from training.tiny.swept import AWAY, FURTHER, HOME, Swept, binding, carried
from training.traces import Survey

CLAIMS = (binding(TIGHT), carried(TIGHT), carried(OWN))

Score = Callable[[int, str, int], float]
"""Of the persistent-trained model: by cap, contract and the task's place."""


def scored(episode: Episode, score: float) -> Episode:
    assert episode.outcome is not None
    return replace(episode, outcome=replace(episode.outcome, score=score))


def at_cap(episode: Episode, cap: int) -> Episode:
    return replace(episode, settings=replace(episode.settings, tool_cap=cap))


@pytest.fixture(scope="module")
def rows(episodes: list[Episode]) -> list[Brief]:
    return list(briefs(map(row, episodes)))


def played(rows: Sequence[Brief], score: Score, seed: int = 1) -> Swept:
    """The experts' rows as if they had been played so; the stateless-trained scores 0.8."""
    found = [
        replace(
            one,
            tool_cap=cap,
            cap_hits=int(cap != SLACK),
            score=score(cap, one.contract, one.seed) if one.model == HOME else 0.8,
        )
        for one in rows
        for cap in CAPS
    ]
    found += [
        replace(one, tool_cap=cap, contract=name, score=score(cap, name, one.seed))
        for one in rows
        if (one.model, one.contract) == (HOME, AWAY)
        for cap in (TIGHT, OWN)
        for name in FURTHER
    ]
    return Swept(seed, found)


def other(task: int, cap: int, of: int) -> int:
    """Below `of`, in turn over the tasks, another for each cap."""
    return (task + CAPS.index(cap)) % of


def lost(at_tight: float, at_slack: float, back: float = 0.0, noise: float = 0.01) -> Score:
    """What stateless takes at each cap, and what carryover gives back of it."""

    def score(cap: int, contract: str, task: int) -> float:
        gone = at_slack if cap == SLACK else at_tight
        jitter = noise * (other(task, cap, 3) - 1)  # 0 over the tasks
        if contract == HOME:
            return 0.8
        return 0.8 - gone + jitter + (back if contract == "carryover" else 0.0) * (1 + task / 100)

    return score


def test_a_gap_that_a_cap_widens_is_shown(rows: list[Brief]) -> None:
    one = played(rows, lost(0.5, 0.1, back=0.25))
    assert one.change(TIGHT).estimate().value == pytest.approx(0.4)
    assert [swept.word(claim, one) for claim in CLAIMS] == ["shown", "shown", "shown"]
    share = one.recovered(TIGHT, "carryover").value
    assert share == pytest.approx(0.25 * 1.055 / 0.5)
    assert one.recovered(TIGHT, "files").value == pytest.approx(0)
    assert one.same(TIGHT, "carryover") == "0 of 12"  # one transcript, other outcomes
    assert one.same(TIGHT, "files") == "12 of 12"
    line = extension.finding(CLAIMS[0], [one, one])
    assert line.startswith("- **shown** (2 of 2 seeds): A binding cap")
    assert "Found: +0.400 [" in line


def test_a_gap_that_no_cap_widens_is_not_shown(rows: list[Brief]) -> None:
    def everything(cap: int, contract: str, task: int) -> float:
        return 0.8 + 0.01 * (other(task, cap, 3) - 1) if contract == HOME else 0.0

    one = played(rows, everything)
    assert swept.word(CLAIMS[0], one) == "not shown"
    assert one.has_gap(SLACK)


def test_a_task_that_stateless_plays_better_leaves_a_share_without_an_interval(
    rows: list[Brief],
) -> None:
    far = lost(0.5, 0.1, back=0.25, noise=0)

    def once(cap: int, contract: str, task: int) -> float:
        return 1.0 if task == rows[0].seed and contract != HOME else far(cap, contract, task)

    share = played(rows, once).recovered(TIGHT, "carryover")
    others = [task for task in {one.seed for one in rows} if task != rows[0].seed]
    gains = sum(0.25 * (1 + task / 100) for task in others)
    assert share.value == pytest.approx(gains / (0.5 * len(others) - 0.2))
    assert share.low is None


def test_what_does_not_suffice_is_undecided(rows: list[Brief]) -> None:
    far = lost(0.3, 0.3)

    def noisy(cap: int, contract: str, task: int) -> float:
        worse = contract != HOME and other(task, cap, 5) == 1
        return far(cap, contract, task) - (0.3 if worse else 0)

    one = played(rows, noisy)
    assert [swept.word(claim, one) for claim in CLAIMS[:2]] == ["undecided", "undecided"]
    assert swept.together(["shown", "not shown"]) == "undecided"
    assert swept.together(["not shown", "not shown"]) == "not shown"


def test_what_cannot_be_asked_is_undecided(rows: list[Brief]) -> None:
    """Nothing lost, so that nothing can be given back; nothing cut, so that nothing is carried; no
    play at home under the slack cap."""
    whole = played(rows, lost(0.0, 0.0, back=0.1))
    assert not whole.has_gap(TIGHT)
    assert swept.word(CLAIMS[1], whole) == "undecided"
    uncut = played(rows, lost(0.3, 0.3, back=0.1))
    assert swept.word(CLAIMS[1], uncut) == "shown"
    uncut.rows = [replace(one, cap_hits=0) for one in uncut.rows]
    assert swept.word(CLAIMS[1], uncut) == "not shown"
    far = lost(0.3, 0.0)
    unable = played(rows, lambda cap, *rest: 0.0 if cap == SLACK else far(cap, *rest))
    assert not unable.plays(SLACK)
    assert unable.change(TIGHT).estimate().low is not None
    assert swept.above(unable.change(TIGHT).estimate(), 0)
    assert swept.word(CLAIMS[0], unable) == "undecided"


def test_each_cap_below_the_slack_one_is_asked_whether_it_binds(rows: list[Brief]) -> None:
    """One that cuts no block does not, whatever the models lose under it."""
    one = played(rows, lost(0.5, 0.1))
    assert swept.word(binding(OWN), one) == "shown"
    one.rows = [replace(row, cap_hits=0) if row.tool_cap == OWN else row for row in one.rows]
    assert swept.word(binding(OWN), one) == "undecided"
    assert swept.word(binding(TIGHT), one) == "shown"
    words = [line[4:13] for line in extension.section([one]) if "A binding cap" in line]
    assert words == ["shown** (", "undecided"]


def test_tables_hold_every_cell_and_estimand_of_each_seed(rows: list[Brief]) -> None:
    pair = [played(rows, lost(0.5, 0.1, 0.25), 1), played(rows, lost(0.3, 0.1, 0.25), 2)]
    head, rule, *lines = extension.caps_table(pair)
    assert head.count("|") == rule.count("|") == lines[0].count("|")
    assert len(lines) == len(CAPS) * 4
    assert lines[1].count("| >= ") == 3  # calls of a block, and both tokens
    assert lines[0].count("| >= ") == 1
    assert lines[1].startswith(f"| {TIGHT} | persistent → stateless | 12 | 0.400 (0.300, 0.500) |")
    head, rule, *lines = extension.estimands_table(pair)
    assert head == "| estimand | seed 1 | seed 2 | over seeds |"
    (change,) = [line for line in lines if line.startswith("| A_P = G_P(4) - G_P(25) |")]
    assert "| +0.400 [" in change
    assert "| +0.300 [-0.971, +1.571] |" in change  # Student's t of 0.4 and 0.2
    assert len(lines) == 3 * len(CAPS) + 4
    assert extension.estimands_table(pair[:1])[0] == "| estimand | seed 1 |"
    assert extension.OVER_SEEDS in "\n".join(extension.section(pair))
    assert extension.OVER_SEEDS not in "\n".join(extension.section(pair[:1]))
    head, rule, *lines = extension.contracts_table(pair, (TIGHT, OWN))
    assert head.count("|") == rule.count("|") == lines[0].count("|")
    assert len(lines) == 2 * (2 + len(FURTHER))
    (carried,) = [line for line in lines if line.startswith(f"| {TIGHT} | carryover |")]
    assert carried.split(" | ")[-2] == "+0.264 (+0.264, +0.264)"
    assert carried.split(" | ")[-1].startswith("53% [")


def test_the_page_says_what_of_the_extension_was_not_measured(
    episodes: list[Episode], tmp_path: Path
) -> None:
    caps = [at_cap(one, cap) for one in episodes for cap in (TIGHT, SLACK)]
    empty = page("a command", "a machine", ("none",), (7,), {}, lambda seed: tmp_path, {})
    assert empty.count("\nNot measured.\n") == 4
    sets = {"none-8": episodes, "none-8-caps": caps, "control": episodes}
    text = page("a command", "a machine", ("none",), (7, 8), sets, lambda seed: tmp_path, {})
    assert "\nTraining seeds 8.\n" in text
    assert "Contracts: not measured." in text
    assert text.count("\nNot measured.\n") == 1


def test_what_was_seen_is_told_of_what_was_played_alone(
    episodes: list[Episode], tmp_path: Path
) -> None:
    unable = [scored(at_cap(one, cap), 0.0) for one in episodes for cap in (TIGHT, SLACK)]
    every = [at_cap(one, cap) for one in episodes for cap in CAPS]
    sets = {"rebuild-3": episodes, "rebuild-3-caps": unable}
    sets |= {"caps-3": every, "caps-experts": every}
    text = page("a command", "a machine", ("rebuild",), (3,), sets, lambda seed: tmp_path, {})
    assert "Seen in transcripts of these experts" in text
    assert UNKNOWN_CAP in text
    assert not [word for word in ("seed 1", "seed 2", "none-1", "the transcripts") if word in text]
    sets |= {"none-1": episodes, "none-1-caps": unable}
    both = page("a command", "a machine", ("none", "rebuild"), (1, 3), sets, lambda n: tmp_path, {})
    assert both.count(UNKNOWN_CAP) == 2
    assert both.count(UNKNOWN_SEEN[0][1]) == 1


def test_the_control_vanishes_where_both_models_say_the_same(episodes: list[Episode]) -> None:
    """The stateless expert is the same in both runtimes, the persistent one is not."""
    lines = "\n".join(control.section(episodes, episodes))
    assert (
        "stateless-trained, score in persistent less in stateless: identical in 12 of 12" in lines
    )
    assert "- **not shown**: on the control" in lines
    assert "- **shown**: on the knapsack" in lines
    home = [one for one in episodes if one.contract == HOME]
    same = [*home, *(replace(one, contract=AWAY) for one in home)]
    lines = "\n".join(control.section(same, same))
    assert "- **shown**: on the control" in lines
    assert "- **undecided**: on the knapsack" in lines
    few = [one for one in same if one.task.seed < 4]
    other = [scored(one, 0.8) if (one.contract, one.task.seed) == (AWAY, 1) else one for one in few]
    changed = [
        replace(one, trajectory=replace(one.trajectory, prompt=one.trajectory.prompt + " "))
        if one.trajectory and (one.contract, one.task.seed) == (AWAY, 1)
        else one
        for one in other
    ]
    assert control.vanishes(control.between_runtimes(changed)) == "undecided"


STUDY = Study(
    Path("study"),
    (1, 2),
    ("none", "rebuild"),
    9,
    35.0,
    1,
    False,
    ("none-1", "rebuild", "control", "caps"),
)


def test_the_command_names_what_is_extended() -> None:
    assert STUDY.command.endswith(" --extend none-1,rebuild,control,caps --extend-episodes 25")
    assert "extend" not in replace(STUDY, extend=()).command
    assert STUDY.extended == [("none", 1), ("rebuild", 1), ("rebuild", 2)]
    assert STUDY.capped == [1, 2]
    assert replace(STUDY, extend=("caps-2", "none-1")).capped == [2]
    assert STUDY.made_by(2, "control") == (
        "python -m training.reproduce --minutes 35 --seeds 2 --arms none --extend control"
    )


def test_sessions_ask_for_caps_and_contracts_in_one_run_each() -> None:
    caps, contracts = extended_sessions(STUDY, "none", 1)
    assert caps.options == ("--okrt-tool-cap", "4,25")
    assert len(caps.models) == 2
    assert (caps.run.name, caps.episodes) == ("none-1-caps", 10)
    assert contracts.options[:4] == ("--okrt-tool-cap", "6", "--okrt-runtime", "carryover")
    assert (contracts.models, contracts.episodes) == (caps.models[:1], 25)
    experts, capped, contracts, *_, last = capped_sessions(STUDY, (1, 3))
    assert [one.run.name for one in (capped, last)] == ["caps-1", "caps-3-contracts"]
    assert capped.options == experts.options == ("--okrt-tool-cap", "4,6,25")
    assert [name.partition("=")[2] for name in experts.models] == [
        "expert:persistent,variety=0,batch=all", "expert:stateless,variety=0,batch=all"
    ]  # fmt: skip
    assert contracts.options[:3] == ("--okrt-tool-cap", "4,6", "--okrt-runtime")
    assert capped.models[1].endswith("study/caps-1/tiny-stateless")
    played, knapsack = control_sessions(STUDY)
    assert (played.evaluation, played.episodes) == ("evals/lookup_control.py", 9)
    assert played.models == knapsack.models
    assert played.models[0].endswith("study/control-1/tiny-persistent")


def test_the_extension_makes_and_plays_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(
        reproduce, "play_missing", lambda some, jobs: done.extend(one.run.name for one in some)
    )
    monkeypatch.setattr(
        reproduce,
        "collect_traces",
        lambda out, arm, pairs, cap: done.append(f"{out.name}, {arm}, {pairs}, {cap}"),
    )
    monkeypatch.setattr(
        reproduce,
        "_tune_missing",
        lambda jobs, study: done.extend(
            f"{job.out.parent.name}: {len(job.beside)} beside {job.traces.name}" for job in jobs
        ),
    )
    monkeypatch.setattr(reproduce, "_write", lambda study, write: done.append("written"))
    reproduce._extend(replace(STUDY, out=tmp_path), sizes(35), None)
    assert done == [
        *("none-1-caps", "none-1-contracts", "written"),
        *("rebuild-1-caps", "rebuild-1-contracts", "written"),
        *("rebuild-2-caps", "rebuild-2-contracts", "written"),
        "traces-control, control, 150, None",
        *("control-1: 1 beside traces-none", "control-1: 1 beside traces-none"),
        *("control", "control-knapsack", "written"),
        *(f"traces-caps-{cap}, cut, 500, {cap}" for cap in (6, 4, 25)),
        *(f"caps-{seed}: 2 beside traces-caps-6" for seed in (1, 1, 2, 2)),
        *("caps-experts", "caps-1", "caps-1-contracts", "caps-2", "caps-2-contracts", "written"),
    ]
    done.clear()
    reproduce._extend(replace(STUDY, extend=()), sizes(35), None)
    assert done == []


@pytest.mark.parametrize("complete", [True, False])
def test_traces_are_gone_on_with_until_they_are_whole(
    complete: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(reproduce, "collect_traces", lambda out, *rest: done.append(out.name))
    record = SimpleNamespace(survey=Survey(complete=complete))
    monkeypatch.setattr(reproduce, "read_record", lambda folder: record)
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "collect.json").write_text("")
    for name in ("held", "missing"):
        reproduce._collect_missing(tmp_path / name, "none", 1)
    assert done == (["missing"] if complete else ["held", "missing"])


@pytest.mark.parametrize(
    ("held", "refused", "played"),
    [
        (None, False, ["--okrt-out"]),
        (False, False, ["--okrt-resume"]),
        (False, True, ["--okrt-resume", "--okrt-out"]),
        (True, False, []),
    ],
)
def test_what_is_played_is_not_played_again(
    held: bool | None,
    refused: bool,
    played: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing, half a session, one that cannot be gone on with, and a whole one."""
    called: list[str] = []

    def play(session: Session, into: str) -> int:
        called.append(into)
        return 4 if refused and into == "--okrt-resume" else 0

    monkeypatch.setattr(sessions, "_pytest", play)
    run = tmp_path / "runs" / "one"
    if held is not None:
        RunDirectory.create(run, {"complete": held}).close()
    play_missing([Session(run, ("a", "b"), 2)], 1)
    assert called == played
