"""Meeting a server: can it be reached, has it the model, does it take the key and the requests.

Every mistake ends in one line that names the URL and what to do, before any episode is run.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, Protocol

from okrt.errors import UsageError
from okrt.models.endpoint import Endpoint
from okrt.models.patience import Patience
from okrt.models.replies import Listed, Unanswered, completion, facts, logprobs, models
from okrt.redact import KEY_VARIABLES
from okrt.types import ServerFacts

_HELLO = ({"role": "user", "content": "Write one block that prints the numbers from 1 to 5."},)
_FACT_S = 5.0
"""Seconds for what a server need not answer."""


class Server(Protocol):
    """What is asked of the client."""

    @property
    def endpoint(self) -> Endpoint: ...

    @property
    def patience(self) -> Patience: ...

    @property
    def has_key(self) -> bool: ...

    @property
    def refused_fields(self) -> tuple[str, ...]: ...

    @property
    def offers_function(self) -> bool: ...

    def said(self, text: str) -> str: ...

    async def fetch(self, url: str, timeout_s: float) -> bytes: ...

    async def ask(
        self,
        messages: Sequence[dict[str, Any]],
        tokens: int,
        seed: int = 0,
        timeout_s: float | None = None,
        **more: Any,
    ) -> bytes: ...


async def meet(server: Server) -> ServerFacts:
    """Returns what the server says of itself, having seen that it answers.

    Two requests decide: its list of models, and one token of the model, which also shows the fields
    of a request that the server refuses. A list that is not to be had, or that lacks the model, is
    no mistake where the model answers; where it is of others, a warning names them.

    Raises:
        UsageError: it cannot be used; one line.
    """
    known = await _models(server)
    await _one_token(server, known)
    if known and server.endpoint.name not in known:
        warnings.warn(
            server.said(
                f"{server.endpoint.url} lists: {_names(known)}; it answers to "
                f"{server.endpoint.name!r} all the same: see that the name is right"
            ),
            stacklevel=1,  # whoever called is an event loop
        )
    version, info, metrics = await asyncio.gather(
        *(_fact(server, path) for path in ("version", "server_info", "metrics"))
    )
    listed = (known or {}).get(server.endpoint.name)
    found = facts(server.endpoint.url, listed, version, info, metrics)
    verified = await _is_adapted(server, found.base) if found.base else None
    return replace(found, refused_fields=server.refused_fields, adapter_verified=verified)


async def _models(server: Server) -> dict[str, Listed] | None:
    """Returns the models that the server lists; None where it has no list."""
    url = server.endpoint.url
    try:
        asked = partial(server.fetch, "/models", server.patience.meeting_s)
        body = await _patiently(server, asked)
    except Unanswered as error:
        if error.status is None:
            _stop(server, f"{url} cannot be reached: {error.message}; start the server, or check "
                          "host and port")  # fmt: skip
        if error.status in (401, 403):
            _stop_for_key(server, error)
        return None
    listed = models(body)
    if listed is None:
        _stop(server, f"{url}/models is no list of models: is this an OpenAI-compatible server? "
                      "Its URL mostly ends in /v1")  # fmt: skip
    return listed


async def _one_token(server: Server, known: dict[str, Listed] | None) -> None:
    name, url = server.endpoint.name, server.endpoint.url
    try:
        asked = partial(server.ask, _HELLO, 1, timeout_s=server.patience.meeting_s)
        completion(await _patiently(server, asked))
    except Unanswered as error:
        if error.status in (401, 403):
            _stop_for_key(server, error)
        if known is None and error.status in (404, 405):
            _stop(server, f"{url} has neither /models nor /chat/completions ({error}); its URL "
                          "mostly ends in /v1")  # fmt: skip
        if known is not None and name not in known and error.status is not None:
            _stop(server, f"no model {name!r} at {url} ({error}); it lists: {_names(known)}")
        if error.status is None:
            _stop(
                server,
                f"{name} at {url} gives no answer: {error.message}; look at the server's log",
            )
        if server.offers_function and "tool" in error.message.lower():
            _stop(server, f"{name} at {url} takes no tool calls ({error}); start the server with "
                          "them (docs/serving.md), or use --okrt-format fenced")  # fmt: skip
        _stop(server, f"{name} at {url} refuses a request: {error}")


def _names(known: dict[str, Listed]) -> str:
    return ", ".join(sorted(known)[:20]) or "none"


async def _is_adapted(server: Server, base: str) -> bool | None:
    """Whether the model gives another next token than its base, or another probability; None where
    the server gives no log-probabilities."""
    ask = partial(
        server.ask, _HELLO, 1, timeout_s=server.patience.meeting_s, logprobs=True, top_logprobs=5
    )
    try:
        mine, other = logprobs(await ask()), logprobs(await ask(model=base))
    except Unanswered:
        return None
    if mine is None or other is None:
        return None
    if mine == other:
        _stop(server, f"{server.endpoint.name} at {server.endpoint.url}: the adapter changes "
                      f"nothing: log-probabilities equal those of its base {base}; serve another "
                      "adapter, or name the base itself")  # fmt: skip
    return True


async def _fact(server: Server, path: str) -> bytes:
    with suppress(Unanswered):
        return await server.fetch(f"{server.endpoint.root}/{path}", _FACT_S)
    return b""


async def _patiently(server: Server, call: Callable[[], Awaitable[bytes]]) -> bytes:
    """Returns what the call brings; a server that is busy is asked again, one that is not there is
    not."""
    patience = server.patience
    for tries in range(1, patience.meeting_tries + 1):
        try:
            return await call()
        except Unanswered as error:
            if error.status is None or not error.passing or tries == patience.meeting_tries:
                raise
            await asyncio.sleep(patience.delay_s(tries, error.retry_after, 0.5))
    raise ValueError(f"meeting_tries is {patience.meeting_tries}: give at least 1")


def _stop_for_key(server: Server, error: Unanswered) -> NoReturn:
    names = " or ".join(KEY_VARIABLES)
    what = "refuses the key" if server.has_key else "wants a key"
    _stop(server, f"{server.endpoint.url} {what} ({error}); set {names} in the environment")


def _stop(server: Server, message: str) -> NoReturn:
    raise UsageError(server.said(message)) from None
