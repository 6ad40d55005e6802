"""The pytest plugin: evaluations as parametrized cases over tasks, runtimes and models.

This module is loaded into every pytest session of an environment that has okrt, so it imports
pytest alone and does nothing until an okrt option is set or a test marked `okrt` is met.
"""

from __future__ import annotations

import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_okrt import hookspecs
from pytest_okrt.options import add_options, is_configured, value_of

if TYPE_CHECKING:
    from okrt.selection.cases import CaseSpec
    from okrt.specs import Agent
    from okrt.types import Contract, Episode, Task
    from pytest_okrt.session import OkrtSession

_session = pytest.StashKey["OkrtSession"]()
_run = pytest.StashKey[Path]()
_workers = pytest.StashKey[Path]()
"""The folder by which this session's workers and their controller talk."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    shows = config.option.showfixtures or config.option.show_fixtures_per_test
    if value_of(config, "gates") and (shows or config.option.markers):
        raise pytest.UsageError("okrt: --okrt-gates: no episode is run to show fixtures or markers")
    if value_of(config, "estimate"):  # an estimate runs in this process
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "okrt(family, tiers, seeds): an evaluation; the test runs once for each model, runtime, "
        "tier and seed, and is given the `episode`",
    )
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[_run] = Path(worker_input["okrt_run"])
        config.stash[_workers] = Path(worker_input["okrt_workers"])
        return
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    given = value_of(config, "resume") or value_of(config, "out")
    config.stash[_run] = config.invocation_params.dir / (given or f"okrt-runs/{name}")
    config.stash[_workers] = config.stash[_run] / "workers" / name
    if is_configured(config):
        session_of(config)


def session_of(config: pytest.Config) -> OkrtSession:
    """Returns the okrt side of a pytest session; sets it up when first asked for.

    Raises:
        pytest.UsageError: an option or ini key is wrong.
    """
    if _session not in config.stash:
        if config.getoption("dist", "no") == "each":
            raise pytest.UsageError(
                "okrt: --dist=each runs every episode in each worker: use load or worksteal"
            )
        config.stash[_session] = _open(config)
        if config.pluginmanager.register(config.stash[_session], "okrt-session") is None:
            raise pytest.UsageError("okrt: -p no:okrt-session leaves nothing to record or decide")
    return config.stash[_session]


def _open(config: pytest.Config) -> OkrtSession:
    from okrt.errors import UsageError
    from okrt.redact import without_secrets

    try:
        if hasattr(config, "workerinput"):
            from pytest_okrt.worker import Worker

            return Worker(config, config.stash[_run], config.stash[_workers])
        from pytest_okrt.controller import Controller

        return Controller(config, config.stash[_run], config.stash[_workers])
    except UsageError as error:
        raise pytest.UsageError(f"okrt: {without_secrets(str(error))}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("okrt")
    if mark is not None:
        session_of(metafunc.config).generate(metafunc, mark)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["okrt_run"] = os.fspath(node.config.stash[_run])
    node.workerinput["okrt_workers"] = os.fspath(node.config.stash[_workers])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    config = node.config
    worker = node.gateway.id
    if (config.stash[_workers] / f"{worker}.json").exists():
        controller = session_of(config)
        controller.collected(worker)  # type: ignore[attr-defined]  # workers have no workers


@pytest.fixture
def okrt_case(request: pytest.FixtureRequest) -> CaseSpec:
    """The coordinates of the case."""
    if not hasattr(request, "param"):
        mark = "@pytest.mark.okrt(seeds=range(20))"
        pytest.fail(f"okrt fixtures need the test to be marked: {mark}", pytrace=False)
    case: CaseSpec = request.param
    return case


@pytest.fixture
def episode(okrt_case: CaseSpec, request: pytest.FixtureRequest) -> Episode:
    """The episode of the case, run and recorded (`okrt.types.Episode`)."""
    return session_of(request.config).episode(request.node, okrt_case)


@pytest.fixture
def okrt_model(okrt_case: CaseSpec, request: pytest.FixtureRequest) -> Agent:
    """The model of the case with its card (`okrt.specs.Agent`), loaded once in this process."""
    session = session_of(request.config)
    return session.one_line(lambda: session.runner.agent(okrt_case))


@pytest.fixture
def okrt_contract(okrt_case: CaseSpec) -> Contract:
    """The runtime contract of the case (`okrt.types.Contract`)."""
    return okrt_case.contract


@pytest.fixture
def okrt_task(okrt_case: CaseSpec, request: pytest.FixtureRequest) -> Task:
    """The task of the case (`okrt.types.Task`); its `private` part holds the answers."""
    session = session_of(request.config)
    return session.one_line(lambda: session.runner.task(okrt_case))
