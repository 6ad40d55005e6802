"""SIGTERM is taken over for a while, where nobody else has it, and given back."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from okrt.engines.terminating import interrupted_by_sigterm


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("on_ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_it_does_what_ctrl_c_does_also_where_that_is_ignored(on_ctrl_c: signal.Handlers) -> None:
    signal.signal(signal.SIGINT, on_ctrl_c)
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm() as termination:
        signal.raise_signal(signal.SIGTERM)
    assert termination.came
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_whoever_handles_ctrl_c_handles_it() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    with interrupted_by_sigterm() as termination:
        signal.raise_signal(signal.SIGTERM)
    assert (heard, termination.came) == ([signal.SIGINT], True)


def test_another_handler_and_another_thread_are_left_alone() -> None:
    def another() -> object:
        with interrupted_by_sigterm():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor() as threads:
        assert threads.submit(another).result() is signal.SIG_DFL
    for handler in (signal.SIG_IGN, lambda number, frame: None):
        signal.signal(signal.SIGTERM, handler)
        assert another() is handler
        assert signal.getsignal(signal.SIGTERM) is handler
