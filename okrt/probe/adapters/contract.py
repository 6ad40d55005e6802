"""okrt's own runtime under one of its contracts."""

from __future__ import annotations

from okrt import specs
from okrt.probe.laws import TOOL
from okrt.probe.target import Answer, Status, TargetSpec
from okrt.runtimes.host import ZygoteRuntime
from okrt.types import Contract, ExecutionStatus, Limits
from okrt.types import Session as RuntimeSession

_BLOCK_S = 1.0
"""The time limit it is asked for: this runtime has none of its own, its caller sets one."""
_CAP = 2
"""Calls of `okrt.probe.laws.TOOL` that it lets a block make."""
_STATUS: dict[ExecutionStatus, Status] = {
    "ok": "ok", "raised": "error", "cap": "error", "timeout": "timeout", "died": "died",
}  # fmt: skip


class ContractSession:
    def __init__(self, session: RuntimeSession) -> None:
        self._session = session

    def run(self, code: str, timeout_s: float) -> Answer:
        found = self._session.execute(code)
        return Answer(found.stdout + (found.error or ""), _STATUS[found.status])

    def close(self) -> None:
        self._session.close()


class ContractTarget:
    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._runtime = ZygoteRuntime()

    def open(self) -> ContractSession:
        limits = Limits(tool_cap=_CAP, block_s=_BLOCK_S)
        tools = {TOOL: lambda: None}
        return ContractSession(self._runtime.open(self._contract, tools, limits))

    def close(self) -> None:
        self._runtime.close()


def make(spec: TargetSpec) -> ContractTarget:
    return ContractTarget(specs.contract(spec.detail))
