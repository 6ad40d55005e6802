"""What a study at tiny scale consists of: what is asked for, where it is put, what is played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.tiny.making import command
from training.tiny.play import CAPPED, CAPS, CONTROL, CONTROL_FAMILY, OWN, SLACK, TIGHT
from training.tiny.sessions import Session
from training.tiny.swept import FURTHER
from training.tiny.tune import CONTRACTS

FURTHER_RUNTIMES = tuple(part for name in FURTHER for part in ("--okrt-runtime", name))
FEW = 10
"""Tasks of a cell, so many as an interval needs, where a model meets a cap of which it knows
nothing."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is asked for, and where it is put."""

    out: Path
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    episodes: int
    minutes: float
    jobs: int
    ablate: bool
    extend: tuple[str, ...] = ()
    """Arms or `caps`, one seed of them (`none-1`), or `control`."""
    extend_episodes: int = 25

    @property
    def command(self) -> str:
        seeds, arms = ",".join(map(str, self.seeds)), ",".join(self.arms)
        extend = f" --extend {','.join(self.extend)} --extend-episodes {self.extend_episodes}"
        return (
            f"python -m training.reproduce --out study/ --minutes {self.minutes:g} "
            f"--seeds {seeds} --arms {arms} --episodes {self.episodes}"
            f"{' --ablate' if self.ablate else ''}{extend if self.extend else ''}"
        )

    @property
    def pairs(self) -> list[tuple[str, int]]:
        """The arm and seed of each pair of models."""
        return [(arm, seed) for arm in self.arms for seed in self.seeds]

    @property
    def extended(self) -> list[tuple[str, int]]:
        """Of those, the ones that are to be played over caps and contracts."""
        return [one for one in self.pairs if self._extends(*one)]

    @property
    def capped(self) -> list[int]:
        """The seeds of which models that know several caps are to be made and played."""
        return [seed for seed in self.seeds if self._extends(CAPPED, seed)]

    def _extends(self, what: str, seed: int) -> bool:
        return what in self.extend or f"{what}-{seed}" in self.extend

    def made_by(self, seed: int, arm: str = "none") -> str:
        """Returns what makes a checkpoint, without paths."""
        if arm not in (CONTROL, CAPPED):
            return command(self.minutes, seed, arm)
        return (
            f"python -m training.reproduce --minutes {self.minutes:g} --seeds {seed} "
            f"--arms {self.arms[0]} --extend {arm}"
        )

    def traces(self, arm: str) -> Path:
        return self.out / f"traces-{arm}"

    def base(self, seed: int) -> Path:
        return self.out / f"base-{seed}"

    def tuned(self, arm: str, seed: int, contract: str) -> Path:
        return self.out / f"{arm}-{seed}" / f"tiny-{contract}"

    def ablation(self, what: str) -> Path:
        return self.out / f"base-{self.seeds[0]}-{what}"

    def run(self, what: str) -> Path:
        return self.out / "runs" / what


def _pair(study: Study, arm: str, seed: int) -> tuple[str, ...]:
    return tuple(f"{name}={study.tuned(arm, seed, name).resolve()}" for name in CONTRACTS)


def arm_sessions(study: Study, arm: str) -> list[Session]:
    return [
        Session(study.run(f"{arm}-{seed}"), _pair(study, arm, seed), study.episodes)
        for seed in study.seeds
    ]


def other_sessions(study: Study) -> list[Session]:
    experts = tuple(f"expert:{name}" for name in CONTRACTS)
    return [
        *(
            Session(study.run(f"base-{n}"), (f"base={study.base(n).resolve()}",), study.episodes)
            for n in study.seeds
        ),
        Session(study.run("experts"), experts, study.episodes),
    ]


def extended_sessions(study: Study, arm: str, seed: int) -> list[Session]:
    """Both models in both runtimes at the caps that the arm's own session lacks, and the
    persistent-trained one under further contracts, at the tier's own cap.

    A model of an arm knows one cap alone: what it does at others is seen in few tasks.
    """
    pair = _pair(study, arm, seed)
    return [
        Session(
            study.run(f"{arm}-{seed}-caps"), pair, min(study.extend_episodes, FEW),
            _caps(TIGHT, SLACK),
        ),
        Session(
            study.run(f"{arm}-{seed}-contracts"), pair[:1], study.extend_episodes,
            (*_caps(OWN), *FURTHER_RUNTIMES),
        ),
    ]  # fmt: skip


def capped_sessions(study: Study, seeds: Sequence[int]) -> list[Session]:
    """The same of models that know several caps; and the experts that wrote their traces."""
    experts = tuple(f"{name}=expert:{name},variety=0,batch=all" for name in CONTRACTS)
    found = [Session(study.run(f"{CAPPED}-experts"), experts, study.extend_episodes, _caps(*CAPS))]
    for seed in seeds:
        pair, run = _pair(study, CAPPED, seed), study.run(f"{CAPPED}-{seed}")
        further = (*_caps(TIGHT, OWN), *FURTHER_RUNTIMES)
        found += [
            Session(run, pair, study.extend_episodes, _caps(*CAPS)),
            Session(
                run.with_name(f"{run.name}-contracts"), pair[:1], study.extend_episodes, further
            ),
        ]
    return found


def _caps(*caps: int) -> tuple[str, str]:
    return "--okrt-tool-cap", ",".join(map(str, caps))


def control_sessions(study: Study) -> list[Session]:
    """The same two models on the control and on the knapsack."""
    pair = _pair(study, CONTROL, study.seeds[0])
    return [
        Session(study.run(CONTROL), pair, study.episodes, evaluation=f"evals/{CONTROL_FAMILY}.py"),
        Session(study.run(f"{CONTROL}-knapsack"), pair, study.extend_episodes),
    ]
