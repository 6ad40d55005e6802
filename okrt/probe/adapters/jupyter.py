"""A Jupyter kernel for each session, through jupyter_client."""

from __future__ import annotations

import re
import time
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import KernelManager

from okrt.errors import SpecError
from okrt.probe.serve import TEXT_CHARS
from okrt.probe.target import Answer, Status, TargetSpec

_START_S = 60.0
_INTERRUPT_S = 2.0
"""For a block to end after an interrupt; else the next one meets a new kernel."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class JupyterSession:
    """Stops a late block as a notebook does: by an interrupt, else by a restart."""

    def __init__(self, name: str) -> None:
        self._manager = KernelManager(kernel_name=name)
        self._manager.start_kernel()
        self._client: Any = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=_START_S)
        self._lost = False
        """The kernel has died, or does not heed an interrupt."""

    def run(self, code: str, timeout_s: float) -> Answer:
        if self._lost:
            self._manager.restart_kernel(now=True)
            self._client.wait_for_ready(timeout=_START_S)
        request = self._client.execute(code, allow_stdin=False)
        parts: list[str] = []
        status = self._follow(request, parts, timeout_s)
        end = status
        if status == "timeout":
            self._manager.interrupt_kernel()
            end = self._follow(request, parts, _INTERRUPT_S)
        self._lost = end in ("timeout", "died")
        return Answer("".join(parts), status)

    def _follow(self, request: str, parts: list[str], timeout_s: float) -> Status:
        """Collects what a block publishes, up to a length, until it has ended or is late."""
        deadline = time.monotonic() + timeout_s
        status: Status = "ok"
        while time.monotonic() < deadline:
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except Empty:
                if not self._manager.is_alive():
                    return "died"
                continue
            if message["parent_header"].get("msg_id") != request:
                continue  # of an earlier block
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return status
            if kind == "error":
                status = "error"
            if sum(map(len, parts)) < TEXT_CHARS:
                parts.append(_text(kind, content))
        return "timeout"

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def _text(kind: str, content: dict[str, Any]) -> str:
    if kind == "stream":
        return str(content["text"])
    if kind == "error":
        return _COLOURS.sub("", "\n".join(content["traceback"])) + "\n"
    if kind in ("execute_result", "display_data"):
        return str(content["data"].get("text/plain", "")) + "\n"
    return ""


class JupyterTarget:
    def __init__(self, name: str) -> None:
        self._name = name

    def open(self) -> JupyterSession:
        try:
            return JupyterSession(self._name)
        except NoSuchKernel:
            known = ", ".join(KernelSpecManager().find_kernel_specs()) or "none"
            raise SpecError(f"no kernel is named {self._name!r}; installed: {known}") from None

    def close(self) -> None:
        """Its kernels are its sessions'."""


def make(spec: TargetSpec) -> JupyterTarget:
    return JupyterTarget(spec.detail or "python3")
