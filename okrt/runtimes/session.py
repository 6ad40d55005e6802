"""One episode's interpreter: which process each block runs in, and what became of it."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import time
import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

from okrt import asking
from okrt.errors import RuntimeFailure
from okrt.runtimes.process import START_S, Child, Ground
from okrt.runtimes.tools import BlockCalls, Toolbox
from okrt.runtimes.wire import Call, Done, Output, WireError
from okrt.types import Contract, Execution, ExecutionStatus, Limits

SIGNALS = {number.value: number.name for number in signal.Signals}


@dataclass(frozen=True, slots=True)
class Loss:
    """The process of a block is no longer to be used."""

    status: Literal["timeout", "died"]
    error: str
    overfull: bool = False
    """It was killed for its files: the next process would be as well, if it had them."""


class Processes(Protocol):
    """Where a session has its processes from: a zygote, or the host itself."""

    @property
    def ground(self) -> Ground: ...

    @property
    def alive(self) -> bool: ...

    def fork(
        self, memory_mib: int, cpu_s: int, after: Child | None = None, keep: bool = False
    ) -> Child:
        """Asks for a process and returns at once; `Wire.wait_ready` waits for it. The one that it
        comes `after` is then ended.

        Args:
            keep: it has the scratch directory of the one before, and begins when that is dead.

        Raises:
            RuntimeFailure: there can be none; the one before is as it was.
        """
        ...

    def end(self, child: Child) -> None:
        """The child is killed and its directory removed, soon; its wire is closed, now."""
        ...

    def ending(self, child: Child) -> tuple[int, str]:
        """Returns how a child ended (minus the signal that killed it), ending it if need be, and
        why, if it was killed for what it did. Its directory stays, for another or until `end`.

        Raises:
            RuntimeFailure: it ended because what it has to have around it is gone.
        """
        ...

    def stop(self) -> None:
        """All of them are gone, and their directories. Idempotent."""
        ...

    def abandon(self) -> None:
        """After a fork of the host: this process lets go of what belongs to its parent."""
        ...


class ZygoteSession:
    """Satisfies `okrt.types.Session`. One thread at a time may use it.

    The contract is asked after each block, not before the next: its answer depends on nothing
    later, and a fresh process can then be forked while the model thinks.
    """

    def __init__(
        self,
        processes: Processes,
        contract: Contract,
        toolbox: Toolbox,
        limits: Limits,
        seed: str,
    ) -> None:
        self._processes = processes
        self._contract = contract
        self._toolbox = toolbox
        self._limits = limits
        self._seed = seed
        self._turn = 0
        self._alive: tuple[str, ...] = ()
        """The agent's names that the next block will see."""
        self._closed = False
        self._child: Child | None = None
        self._before: Child | None = None
        """The dead one whose directory the next shall have, while there is none."""
        self._child = self._fork()

    def execute(self, code: str) -> Execution:
        if self._closed:
            raise RuntimeFailure("this session is closed, or another process's: open a new one")
        try:
            execution, end = self._run(code)
            kept = asking.kept(self._contract, self._turn + 1, execution)
        except BaseException:
            self._drop_child()
            raise
        self._turn += 1
        lost = isinstance(end, Loss)
        if kept.names and not lost:
            self._alive = execution.bound_names or ()
            return execution
        overfull = isinstance(end, Loss) and end.overfull
        self._replace_child(lost, keep=kept.files and not kept.names and not overfull)
        restarted = (kept.names and lost) or (kept.files and overfull)
        return dataclasses.replace(execution, restarted=True) if restarted else execution

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._drop_child()

    def abandon(self) -> None:
        """After a fork of the host: closes descriptors, leaves the parent's process alone."""
        for child in (self._child, self._before):
            if child is not None:
                child.wire.close()
        self._child = self._before = None
        self._closed = True

    def __del__(self) -> None:
        if not self._closed:
            text = "a session was forgotten, not closed"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __enter__(self) -> ZygoteSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- the process

    def _fork(self, after: Child | None = None, keep: bool = False) -> Child:
        # CPU time of all cores, since a block may compute in threads: a backstop, not the deadline.
        cpu_s = math.ceil(self._limits.block_s) * (os.cpu_count() or 1) + 5
        return self._processes.fork(self._limits.memory_mib, cpu_s, after, keep)

    def _replace_child(self, lost: bool, keep: bool) -> None:
        used, self._child, self._alive = self._child, None, ()
        if used is not None and lost:
            used.wire.kill()  # it may still be at work
        try:
            self._child = self._fork(used, keep)
        except RuntimeFailure:  # the next block, if any, tries again and raises
            if keep:
                self._before = used
            elif used is not None:
                self._processes.end(used)

    def _drop_child(self) -> None:
        for child in (self._child, self._before):
            if child is not None:
                self._processes.end(child)
        self._child = self._before = None
        self._alive = ()

    def _ready_child(self) -> Child:
        if self._child is None:
            self._child = self._fork(self._before, keep=self._before is not None)
            self._before = None
        if not self._child.wire.ready:
            try:
                self._child.wire.wait_ready(START_S)
            except RuntimeFailure:
                if self._child.wire.ended:
                    self._processes.ending(self._child)  # says so if it was the zygote that died
                raise
        return self._child

    # -- one block

    def _run(self, code: str) -> tuple[Execution, Done | Loss]:
        child = self._ready_child()
        output = Output(self._limits.output_bytes)
        calls = BlockCalls(self._toolbox, self._limits.tool_cap)
        late = child.wire.settle()
        end = self._step(child, output, calls, code)
        done = end if isinstance(end, Done) else None
        if done is None or child.wire.wrote:
            output.feed(child.wire.drain())
        stdout = output.text()
        execution = Execution(
            status=_status(end, calls.refused),
            stdout=stdout,
            truncated_chars=output.dropped_chars,
            error_type=done.error_type if done is not None else None,
            error=end.error,
            missing_name=done.missing_name if done is not None else None,
            calls=tuple(calls.made),
            refused_calls=calls.refused,
            carried_names=self._alive,
            bound_names=None if done is None else tuple(sorted(done.bound)),
            late_output_bytes=late,
        )
        return execution, end

    def _step(self, child: Child, output: Output, calls: BlockCalls, code: str) -> Done | Loss:
        """Has the child run the block and serves its calls until it is done, late or dead."""
        wire, step = child.wire, os.urandom(8).hex()
        deadline = time.monotonic() + self._limits.block_s
        try:
            if wire.spoke:
                raise WireError("it sent a message between two blocks")
            wire.send(self._request(step, code))
            while True:
                message = wire.receive()
                if message is not None and not (
                    isinstance(message, (Call, Done)) and message.step == step
                ):
                    raise WireError("it sent a forged message")
                if isinstance(message, Done):
                    return message
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    text = f"The block was stopped after {self._limits.block_s:g} s."
                    return Loss("timeout", text)
                if message is not None:
                    answer = calls.answer(message)
                    if time.monotonic() < deadline:  # else it would run on until it is killed
                        wire.send(answer)
                elif wire.ended:
                    return self._death(child)
                else:
                    wire.pump(output, remaining)
        except WireError as error:
            return Loss("died", f"The process was killed: {error}.")

    def _request(self, step: str, code: str) -> dict[str, Any]:
        return {
            "type": "step",
            "step": step,
            "turn": self._turn,
            "code": code,
            "seed": self._seed,
            "tools": self._toolbox.names,
        }

    def _death(self, child: Child) -> Loss:
        by_itself = child.wire.ends_by_itself()
        code, reason = self._processes.ending(child)
        text = f"The process ended with exit status {code}."
        if reason:
            text = f"The process was killed: {reason}."
        elif not by_itself:
            text = "The process closed its wire and was killed."
        elif code < 0:
            text = f"The process was killed by signal {-code} ({SIGNALS.get(-code, 'real-time')})."
        return Loss("died", text, overfull=bool(reason))


def _status(end: Done | Loss, refused: int) -> ExecutionStatus:
    if isinstance(end, Loss):
        return end.status
    if end.error_type is None:
        return "ok"
    return "cap" if end.cap and refused else "raised"
