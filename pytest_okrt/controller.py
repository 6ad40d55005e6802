"""The process that decides and writes: alone, or in charge of the workers of pytest-xdist.

Alone, it runs the selected cases in batches ahead of their tests. In charge of workers, it takes
the records off their reports, and has a case whose worker crashed run again or recorded.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from okrt import specs
from okrt.engines.estimate import estimate
from okrt.engines.limits import NotRun
from okrt.engines.runner import Ahead
from okrt.errors import RuntimeFailure, StoreError, UsageError
from okrt.models.checkpoint import weight_bytes
from okrt.models.endpoint import names_server
from okrt.redact import without_secrets
from okrt.runtimes.contracts import PERSISTENT
from okrt.selection.cases import CaseSpec
from okrt.store import decode_episode
from okrt.types import Episode, Limits
from pytest_okrt import workers
from pytest_okrt.recorder import Recorder
from pytest_okrt.session import COLLECT_ERROR, OkrtSession, manifest_of, selected

TRIES = 2
"""Times a case is run whose worker crashes, where the scheduler can run it again."""


class Controller(OkrtSession):
    """The okrt side of the controlling process. Raises: see `OkrtSession`."""

    def __init__(self, config: pytest.Config, run: Path) -> None:
        super().__init__(config, run)
        self._recorder = Recorder(config, self.options, run)
        self._ahead: Ahead | None = None
        self._wrong_marker = False
        self._crashes: Counter[str] = Counter()

    def pytest_report_header(self) -> list[str]:
        """Says what each worker will hold: a checkpoint is loaded by every one of them."""
        workers_wanted = len(self.config.getoption("tx", None) or ())
        return [
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
            self._begin(manifest_of(session.items))
            self._ahead = Ahead(self.runner, wanted, self._recorder.add)
        return None

    def obtain(self, item: pytest.Item, spec: CaseSpec) -> Episode:
        if self._ahead is None or not self._ahead.has(spec):
            raise UsageError("ask for the fixture `episode` in the test's arguments")
        try:
            return self._ahead.take(spec)
        except NotRun:
            self._recorder.not_run.add(item.nodeid)
            raise

    # -- in charge of workers --------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == workers.RECORD:
                self._recorder.add(decode_episode(str(value).encode()))
            elif name == workers.NOT_RUN:
                self._recorder.not_run.add(report.nodeid)
        ours = (workers.RECORD, workers.NOT_RUN)
        kept = [pair for pair in report.user_properties if pair[0] not in ours]
        report.user_properties[:] = kept

    def collected(self, worker: str) -> None:
        """Takes up what a worker collected; workers that disagree end the session."""
        manifest = workers.read_manifest(self.run, worker)
        if manifest is None:
            return
        if not self._recorder.manifest:
            self._begin(manifest)
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
        line = workers.read_current(self.run, report.node.gateway.id)
        if line is not None:
            with suppress(StoreError):  # half written: the case stays missing, which is said
                self._recorder.add(decode_episode(line))
        report.longrepr = f"okrt: infrastructure failed (worker): {report.longrepr}"

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None

    def _begin(self, manifest: workers.Manifest) -> None:
        """Starts the record; where no sandbox or server can be had, ends the session with one
        line."""
        try:
            self.runner.runtime.open(PERSISTENT, {}, Limits()).close()
            for model in self.options.models:
                if not names_server(model.given):
                    continue  # the hook may load weights, and is not asked for nothing
                if self.given.own_model(model.given) is None:
                    specs.check_server(model, self.options.settings)
        except (RuntimeFailure, UsageError) as error:
            line = without_secrets(str(error))
            pytest.exit(f"okrt: {line}", returncode=pytest.ExitCode.USAGE_ERROR)
        self._recorder.start(manifest, self.runner.runtime)

    # -- both ------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._ahead is not None:
            self._ahead.close()
        self.runner.close()
        self._recorder.close()
        workers.remove(self.run)
        if self._recorder.not_written:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        elif self._wrong_marker:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._recorder.manifest:
            terminalreporter.section("okrt")
            terminalreporter.write_line(self._recorder.summary(terminalreporter._tw.fullwidth))
