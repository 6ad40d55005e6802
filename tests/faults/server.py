"""A server that speaks enough of `/v1/chat/completions`, and breaks down as it is told to.

Which request meets which fault depends on the seed, the request's body and how often that body has
come, never on the order of requests: a run under faults is the same run however it is scheduled.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from types import TracebackType
from typing import Any

from okrt.models.counter import count_tokens
from okrt.types import Conversation, Message

_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
FAULTS = ("429", "429 with a time", "500", "503", "half a body", "garbage", "slow", "never")


@dataclass
class FaultServer:
    """A context manager; `url` is what a model is named with.

    Args:
        respond: what it answers, a function of the conversation.
        share: of requests that meet a fault.
        faults: which.
        seed: decides which request meets which.
        model: the name of its only model.
        listed: the names that `/v1/models` lists; None: it has no such list.
        key: the bearer token that it wants.
        change: has the last word on an answer: (request, answer) -> (status, answer).
        facts: what else it answers to GET, by path.
        usage: whether it counts tokens.
        wait_s: how long each reply takes.
        port: where it listens; 0: where it may.
    """

    respond: Callable[[Conversation], str]
    share: float = 0.0
    faults: tuple[str, ...] = FAULTS
    seed: str = "faults"
    model: str = "m"
    listed: tuple[str, ...] | None = ("m",)
    key: str | None = None
    change: Callable[[dict[str, Any], dict[str, Any]], tuple[int, Any]] | None = None
    facts: Mapping[str, bytes] = field(default_factory=dict)
    usage: bool = True
    wait_s: float = 0.0
    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    peak: int = 0
    """The most requests that were being answered at a time."""

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._now = 0
        self._came: Counter[str] = Counter()
        owner = self

        class Handler(_Handler):
            faulty = owner

        self._http = _Http(("127.0.0.1", self.port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def spec(self) -> str:
        return f"{self.model}@{self.url}"

    def __enter__(self) -> FaultServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def fault(self, body: bytes) -> str | None:
        """Returns the fault that this request meets, or None."""
        name = hashlib.sha256(body).hexdigest()
        with self._lock:
            self._came[name] += 1
            draw = Random(f"{self.seed}/{name}/{self._came[name]}")
        if draw.random() >= self.share:
            return None
        found = draw.choice(self.faults)
        with self._lock:
            self.met[found] += 1
        return found

    @contextmanager
    def counted(self) -> Any:
        with self._lock:
            self._now += 1
            self.peak = max(self.peak, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1

    def answer(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Returns the status and the JSON of an answer without fault."""
        if request["model"] != self.model:
            return 404, {"error": {"message": f"The model `{request['model']}` does not exist."}}
        messages = tuple(Message(one["role"], one["content"]) for one in request["messages"])
        text = self.respond(Conversation(messages))
        read = sum(count_tokens(message.content) for message in messages)
        answer: dict[str, Any] = {
            "id": "chat",
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": _message(request, text), "finish_reason": "stop"}
            ],
        }  # fmt: skip
        if self.usage:
            answer["usage"] = {
                "prompt_tokens": read,
                "completion_tokens": count_tokens(text),
                "total_tokens": read + count_tokens(text),
            }
        return self.change(request, answer) if self.change else (200, answer)


def _message(request: dict[str, Any], text: str) -> dict[str, Any]:
    """Returns the message of an answer: its blocks as tool calls, where tools are offered."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    blocks = list(_BLOCK.finditer(text))
    if blocks and "tools" in request:
        name = request["tools"][0]["function"]["name"]
        codes = [json.dumps({"code": block[1]}) for block in blocks]
        message["content"] = text[: blocks[0].start()].removesuffix("\n") or None
        message["tool_calls"] = [
            {"id": f"id-{len(request['messages'])}-{number}", "type": "function",
             "function": {"name": name, "arguments": code}}
            for number, code in enumerate(codes)
        ]  # fmt: skip
    return message


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faulty: FaultServer

    def setup(self) -> None:
        super().setup()
        self.faulty.connections += 1

    def log_message(self, format: str, *args: Any) -> None:
        """The tests ask the server itself what came."""

    def do_GET(self) -> None:
        self.faulty.paths.append(self.path)
        path = self.path.partition("?")[0]
        if not self._let_in():
            return
        if path == "/v1/models" and self.faulty.listed is not None:
            data = [{"id": name, "object": "model"} for name in self.faulty.listed]
            self._send(200, json.dumps({"object": "list", "data": data}).encode())
        elif path in self.faulty.facts:
            self._send(200, self.faulty.facts[path])
        else:
            self._send(404, b'{"detail": "Not Found"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.faulty.paths.append(self.path)
        if not self._let_in():
            return
        if self.path.partition("?")[0] != "/v1/chat/completions":
            self._send(404, b'{"detail": "Not Found"}')
            return
        with self.faulty.counted():
            request = json.loads(body)
            self.faulty.requests.append(request)
            self.faulty.headers.append(dict(self.headers.items()))
            if self.faulty.wait_s:
                time.sleep(self.faulty.wait_s)
            status, answer = self.faulty.answer(request)
            self._break(self.faulty.fault(body), status, json.dumps(answer).encode())

    def _let_in(self) -> bool:
        wanted = self.faulty.key
        if wanted is None or self.headers.get("Authorization") == f"Bearer {wanted}":
            return True
        given = self.headers.get("Authorization", "")
        self._send(401, json.dumps({"error": {"message": f"Unauthorized: {given}"}}).encode())
        return False

    def _break(self, fault: str | None, status: int, answer: bytes) -> None:
        if fault is None:
            self._send(status, answer)
        elif fault.startswith("429"):
            more = {"Retry-After": "0.02"} if "time" in fault else {}
            self._send(429, b'{"error": {"message": "slow down"}}', more)
        elif fault in ("500", "503"):
            self._send(int(fault), b'{"error": "out of order"}')
        elif fault == "half a body":
            self._send(status, answer, cut=len(answer) // 2)
        elif fault == "garbage":
            self._send(status, b"<html>\xff not what you asked for")
        elif fault == "slow":
            self._send(status, answer, pause_s=0.05)
        else:
            self.faulty.closing.wait(30)
            self.close_connection = True

    def _send(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if cut is not None:
            body, self.close_connection = body[:cut], True
        middle = len(body) // 2
        self.wfile.write(body[:middle])
        if pause_s:
            self.wfile.flush()
            time.sleep(pause_s)
        self.wfile.write(body[middle:])
