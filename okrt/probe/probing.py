"""Putting a target through the laws."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from okrt.errors import UsageError
from okrt.probe.asking import Asker, Limits, Mark, OutOfTime, reason
from okrt.probe.holder import Holder
from okrt.probe.laws import BETWEEN_SESSIONS, CAP, LAWS, TIME, Law, seen
from okrt.probe.report import Finding, Report, report
from okrt.probe.target import ProbeError, TargetSpec

Progress = Callable[[str, int, int], None]
"""Is told what is asked next, its number from 0, and how many there are."""

_SESSIONS = "between sessions"
_TIME_UP = "the probe's time was up"


def probe(
    spec: TargetSpec,
    limits: Limits = Limits(),  # noqa: B008  frozen
    progress: Progress | None = None,
) -> Report:
    """Returns what a target keeps. Nothing of the target or of the probe is left afterwards.

    Raises:
        okrt.errors.UsageError: the target cannot be had: a package, command or kernel is missing.
        okrt.probe.target.ProbeError: it does not run Python, does not answer, ends or floods.
    """
    began = time.monotonic()
    asker: Asker | None = None
    try:
        with Holder(spec, limits.seconds, limits.close_s) as holder:
            asker = Asker(holder, limits, began + limits.seconds)
            laws = (*LAWS, CAP) if spec.kind == "contract" else LAWS
            findings = _findings(asker, laws, progress or (lambda name, at, of: None))
        findings.append(
            Finding("closing", "ends when it is closed", "yes" if holder.closed else "no")
        )
    except OutOfTime:
        raise ProbeError(f"no block was answered in {limits.seconds:g} s") from None
    finally:
        if asker is not None:
            sweep(Path.cwd(), asker.nonce)
    return report(spec.name, findings, asker.blocks, time.monotonic() - began)


def sweep(folder: Path, nonce: str) -> None:
    """Removes what an interrupted probe could not have removed by the target itself."""
    for path in folder.glob(f"okrt-probe-{nonce}-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _findings(asker: Asker, laws: Sequence[Law], progress: Progress) -> list[Finding]:
    session = asker.open()
    _greet(asker, session)
    findings: list[Finding] = []
    steps = len(laws) + 2
    for at, law in enumerate(laws):
        progress(f"{law.group}: {law.laws[0]}", at, steps)
        findings += _asked(law, asker, session)
    progress(_SESSIONS, steps - 2, steps)
    findings += _between_sessions(asker, session)
    progress(TIME.group, steps - 1, steps)
    return findings + _asked(TIME, asker, session)


def _greet(asker: Asker, session: int) -> None:
    """Raises ProbeError unless a first block is run."""
    mark = Mark()
    answer, took_s = asker.ask(session, mark.prints("6 * 7"))
    if mark.read(answer.text) == "42":
        return
    if answer.status == "timeout":
        sent = f", though it sent {len(answer.text):,} characters" if answer.text else ""
        raise ProbeError(f"no answer to a first block in {took_s:.0f} s{sent}")
    raise ProbeError(f"a first block did not print what it computes; instead: {reason(answer)}")


def _asked(law: Law, asker: Asker, session: int) -> list[Finding]:
    """Returns what a law found; what it did not come to see is not observable.

    Raises:
        ProbeError: the target is lost, and it is not the last law, which may cost it.
    """
    found: list[Finding] = []
    why = ""
    try:
        for state, detail in law.ask(asker, session):
            found.append(Finding(law.group, law.laws[len(found)], state, detail))
    except OutOfTime:
        why = _TIME_UP
    except ProbeError as error:
        if law is not TIME:
            raise
        why = str(error)
    unseen = law.laws[len(found) :]
    return found + [Finding(law.group, name, "not observable", why) for name in unseen]


def _between_sessions(asker: Asker, first: int) -> list[Finding]:
    """Leaves things in one session and looks for them in another, both open."""
    lefts = []
    findings = []
    try:
        try:
            second = asker.open()
            _greet(asker, second)
        except (UsageError, ProbeError) as error:
            why = f"a second session could not be had: {error}"
            return [Finding(_SESSIONS, t.name, "not observable", why) for t in BETWEEN_SESSIONS]
        for trait in BETWEEN_SESSIONS:
            left = asker.leave(first, trait)
            there: bool | str = left if isinstance(left, str) else asker.look(second, left)
            if not isinstance(left, str):
                lefts.append(left)
                asker.remove(first, left)
            findings.append(Finding(_SESSIONS, trait.name, *seen(there, "leaked", "contained")))
    except OutOfTime:
        asked = len(findings)
        findings += [
            Finding(_SESSIONS, trait.name, "not observable", _TIME_UP)
            for trait in BETWEEN_SESSIONS[asked:]
        ]
    return findings
