"""A worker of pytest-xdist: runs a case when its test asks, and sends the record on the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from okrt.engines.finished import Finished, finished
from okrt.engines.limits import NotRun
from okrt.engines.resuming import check_tasks
from okrt.errors import InfrastructureError, StoreError
from okrt.run import failed
from okrt.selection.cases import CaseSpec
from okrt.store import encode_episode
from okrt.types import Episode
from pytest_okrt.session import OkrtSession, selected
from pytest_okrt.workers import NOT_RUN, RECORD, read_over, write_collected, write_current

_record = pytest.StashKey[tuple[str, str]]()
"""A property of the report, by name."""


class Worker(OkrtSession):
    """The okrt side of a worker. Raises: see `OkrtSession`."""

    def __init__(self, config: pytest.Config, run: Path, workers: Path) -> None:
        super().__init__(config, run, workers)
        self.runner.session_over = lambda: read_over(workers)
        self._finished: Finished | None = None
        self._checked: set[tuple[str, str]] = set()
        """Families and tiers whose tasks are those that the run holds."""
        self._shared: set[object] = set()
        """Cases that several tests ask for; their episodes alone are kept."""
        self._done: dict[object, Episode] = {}
        self._id: str = config.workerinput["workerid"]  # type: ignore[attr-defined]  # by xdist

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        collected = self.collection(session.items)
        if not collected.cases:
            return
        claims = Counter(spec.key for _, spec in selected(session.items))
        self._shared = {key for key, tests in claims.items() if tests > 1}
        try:
            write_collected(self.workers, self._id, collected)
        except StoreError as error:  # said by the controller, which ends the session with it
            session.shouldfail = f"okrt: {error}"
            session.items.clear()

    def obtain(self, item: pytest.Item, spec: CaseSpec) -> Episode:
        if spec.key in self._done:
            return self._done[spec.key]
        left = self._left(spec)
        episode = left if left is not None else self._run(item, spec)
        if spec.key in self._shared:
            self._done[spec.key] = episode
        return episode

    def _left(self, spec: CaseSpec) -> Episode | None:
        """Returns the episode that an earlier session left, if any.

        The run is looked at when the first test runs: the controller has gone on with it by then.
        """
        if self.options.resume is None:
            return None
        if self._finished is None:
            self._finished = finished(self.run)
        tier = (spec.family.name, spec.tier)
        if tier not in self._checked:
            check_tasks(self.run, self._finished, [spec])
            self._checked.add(tier)
        return self._finished.read(spec.key) if spec.key in self._finished else None

    def _run(self, item: pytest.Item, spec: CaseSpec) -> Episode:
        try:
            case = self.runner.case(spec)
            died = InfrastructureError(f"worker crashed while running {item.nodeid}")
            write_current(self.workers, self._id, encode_episode(failed(case, died, "worker")))
            episode = self.runner.run(case)
        except NotRun as error:
            item.stash[_record] = NOT_RUN, str(error)
            raise
        item.stash[_record] = RECORD, encode_episode(episode).decode()
        return episode

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        record = item.stash.get(_record, None)
        if record is not None:
            report.user_properties.append(record)
            del item.stash[_record]
        return report

    def pytest_sessionfinish(self) -> None:
        self.runner.close()
