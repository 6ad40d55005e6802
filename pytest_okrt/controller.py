"""The process that decides and writes: alone, or in charge of the workers of pytest-xdist.

Alone, it runs the selected cases in batches ahead of their tests. In charge of workers, it takes
the records off their reports, and has a case whose worker crashed run again or recorded.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import TIMEOUT_MAX, Timer
from typing import Any

import pytest

from okrt.engines.estimate import estimate
from okrt.engines.gating import SessionGates
from okrt.engines.limits import NotRun
from okrt.engines.runner import Ahead
from okrt.engines.terminating import interrupted_by_sigterm
from okrt.errors import StoreError, UsageError
from okrt.gates.decision import SAVE_ONE
from okrt.models.checkpoint import weight_bytes
from okrt.report.colour import painted, unpainted
from okrt.selection.cases import CaseSpec
from okrt.store import decode_episode
from okrt.types import Episode
from pytest_okrt import workers
from pytest_okrt.recorder import Recorder
from pytest_okrt.session import COLLECT_ERROR, OkrtSession, selected
from pytest_okrt.status import Status, status

MARGIN_S = 0.05
"""The timer of the session's end goes off so much later: it must not find a moment left."""
TRIES = 2
"""Times a case is run whose worker crashes, where the scheduler can run it again."""


class Controller(OkrtSession):
    """The okrt side of the controlling process. Raises: see `OkrtSession`."""

    def __init__(self, config: pytest.Config, run: Path, workers: Path) -> None:
        super().__init__(config, run, workers)
        self._recorder = Recorder(config, self.options, run)
        self._ahead: Ahead | None = None
        self._wrong_marker = False
        self._crashes: Counter[str] = Counter()
        self._record = self._recorder.record
        self._timer: Timer | None = None
        self._status: Status | None = None
        self._gates = SessionGates(self.options)
        self._told = False
        self._while_it_runs = ExitStack()

    def pytest_report_header(self) -> list[str]:
        """Says what each worker will hold, as a checkpoint is loaded by every one of them; and that
        gates will lack their baseline."""
        workers_wanted = len(self.config.getoption("tx", None) or ())
        gates = self.options.gates
        lacks = gates is not None and gates.wants_baseline and self.options.baseline is None
        return [f"okrt: gates: {SAVE_ONE}"] * lacks + [
            f"okrt: each of {workers_wanted} workers loads {model.label} "
            f"({weight_bytes(model.path, model.base) / 2**20:,.0f} MiB); to share one, serve it"
            for model in self.options.models
            if workers_wanted and Path(model.spec).is_dir()
        ]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._wrong_marker |= report.failed and COLLECT_ERROR in str(report.longrepr)

    # -- alone -----------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        option = self.config.option
        if self.config.pluginmanager.hasplugin("dsession") or option.collectonly:
            return None
        if session.testsfailed and not option.continue_on_collection_errors:
            return None
        wanted = [spec for _, spec in selected(session.items)]
        if self.options.estimate:
            session.testsfailed += estimate(self.runner, wanted)
            return True
        if wanted:
            self._begin(self.collection(session.items), wanted)
            self._ahead = Ahead(self.runner, wanted, self._add, self._record.finished)
        return None

    def obtain(self, item: pytest.Item, spec: CaseSpec) -> Episode:
        if self._ahead is None or not self._ahead.has(spec):
            raise UsageError("ask for the fixture `episode` in the test's arguments")
        try:
            return self._ahead.take(spec)
        except NotRun:
            self._record.not_run.add(item.nodeid)
            raise
        finally:
            if self._status is not None:
                self._status.clear()  # the test may write

    def _add(self, episode: Episode) -> None:
        self._recorder.add(episode)
        if self._status is not None:
            self._status.show()

    # -- in charge of workers --------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == workers.RECORD:
                self._recorder.add(decode_episode(str(value).encode()))
                self._tell_if_over()
            elif name == workers.NOT_RUN:
                self._record.not_run.add(report.nodeid)
        ours = (workers.RECORD, workers.NOT_RUN)
        kept = [pair for pair in report.user_properties if pair[0] not in ours]
        report.user_properties[:] = kept

    def collected(self, worker: str) -> None:
        """Takes up what a worker collected; workers that disagree end the session."""
        collected = workers.read_collected(self.workers, worker)
        if collected is None:
            return
        manifest = collected.cases
        if not self._recorder.manifest:
            self._begin(collected)
            self._tell_if_over()
            self._tell_in_time()
        elif manifest != self._recorder.manifest:
            what = workers.difference(self._recorder.manifest, manifest)
            pytest.exit(f"okrt: worker {worker} collected other cases: {what}", returncode=1)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        if crashitem not in self._recorder.manifest:
            return
        self._crashes[crashitem] += 1
        reruns = self.config.getoption("dist") in ("load", "worksteal")
        if reruns and self._crashes[crashitem] < TRIES:
            sched.mark_test_pending(crashitem)
            report.outcome = "rerun"
            return
        line = workers.read_current(self.workers, report.node.gateway.id)
        if line is not None:
            with suppress(StoreError):  # half written: the case stays missing, which is said
                self._recorder.add(decode_episode(line))
        told = f"infrastructure failed (worker): {report.longrepr}"
        report.longrepr = f"okrt: {told}"
        if line is not None and self.options.gates is not None:  # these judge how much may fail
            report.outcome, report.longrepr = "skipped", (crashitem, 0, f"okrt-infra: {told}")

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None

    def _tell_if_over(self) -> None:
        if why := self._record.limits.over():
            with suppress(StoreError):  # the record cannot be written either, which is said
                workers.write_over(self.workers, why)

    def _tell_in_time(self) -> None:
        """Has the workers told of the end of the session's time even while none of them reports."""
        left_s = self._record.limits.left_s
        if left_s is not None and left_s < TIMEOUT_MAX:
            self._timer = Timer(left_s + MARGIN_S, self._tell_if_over)
            self._timer.daemon = True
            self._timer.start()

    def _begin(self, collected: workers.Collected, cases: Sequence[CaseSpec] = ()) -> None:
        """Starts the record; where it, a sandbox or a model cannot be had, ends the session with
        one line. Workers, who make the cases, look into the tasks themselves."""
        self._recorder.start(collected, self.runner, cases)
        self.runner.session_over = self._record.limits.over
        workers.remove_others(self.workers)
        self._while_it_runs.enter_context(interrupted_by_sigterm())
        self._status = status(self.config, lambda: f"okrt: {self._record.progress()}")

    # -- both ------------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Closes the record, then decides; what other plugins make of the exit status is seen."""
        self._close(session)
        passed = self._gates.decide(self._record, *self._instead())
        self._record.write_page()
        try:
            yield
        finally:
            if not passed:
                self._refuse(session)

    def _close(self, session: pytest.Session) -> None:
        self._while_it_runs.close()
        if self._status is not None:
            self._status.close()
        if self._ahead is not None:
            self._ahead.close()
        if self._timer is not None:
            self._timer.cancel()
        self.runner.close()
        self._record.close()
        workers.remove(self.workers)
        if self._record.not_written:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        elif self._wrong_marker:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _instead(self) -> list[str]:
        """Returns what the session did in the stead of an evaluation."""
        if self.config.option.collectonly:
            return ["--collect-only runs nothing"]
        return ["--okrt-estimate runs three tasks a cell"] if self.options.estimate else []

    def _refuse(self, session: pytest.Session) -> None:
        """Sees to it that a session whose gates did not pass does not end with 0, nor in silence:
        other plugins, and pytest without its summary, would let it."""
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not self._told:
            sys.stderr.write("\n".join(f"okrt: {line}" for line in self._gates.lines) + "\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        gates = self._gates.lines
        if self._record.is_open:
            terminal = terminalreporter._tw
            paint = painted if terminal.hasmarkup else unpainted
            shown = self._record.summary(terminal.fullwidth, paint, gates)
        elif self._gates.decision is not None:
            shown = "\n".join(gates)
        else:
            return
        terminalreporter.section("okrt")
        terminalreporter.write_line(shown)
        self._told = True
