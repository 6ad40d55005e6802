"""`NAME@http://host:port/v1`: a model that a server has, taken apart.

Nothing here asks the server anything.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from okrt.errors import SpecError
from okrt.redact import redact

IN_FLIGHT = 32
"""Requests, and so episodes, of a server's model in flight in one process, unless the user asks for
another number."""

_SERVER = re.compile(r"^([^@\s][^@]*)@(https?://.*)$", re.IGNORECASE | re.DOTALL)
_NEXT = re.compile(r",(?=https?://)", re.IGNORECASE)
_WITHOUT_SCHEME = re.compile(r"^[^@\s]+@[\w.-]+(:\d+)?(/|$)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server's model is asked."""

    name: str
    """The model, as the server calls it."""
    url: str
    """What `/chat/completions` is appended to; without credentials, query or closing slash."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    query: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What of the URL must not be shown."""

    @property
    def root(self) -> str:
        """The server's own address, where it answers what is not OpenAI's: the URL without /v1."""
        return self.url.removesuffix("/v1")


def names_server(spec: str) -> bool:
    """Whether a spec can only be meant as a server's model."""
    if spec.startswith(("expert:", "tiny:")):
        return False
    return bool(_SERVER.match(spec) or _WITHOUT_SCHEME.match(spec))


def pool(spec: str) -> tuple[str, ...]:
    """Returns a spec `NAME@URL` for each of the servers of `NAME@URL,URL,...`, which are copies of
    one: of a single server the spec as it is."""
    first, *others = _NEXT.split(spec)
    name = spec.partition("@")[0]
    return (first, *(f"{name}@{url}" for url in others))


def endpoint(spec: str) -> Endpoint:
    """Returns the endpoint of `NAME@URL`.

    Raises:
        SpecError: the name or the URL is none, or there are several URLs; the message shows no
            credentials.
    """
    shown = redact(spec)
    if len(pool(spec)) > 1:
        raise SpecError(f"{shown!r} names several servers, which takes: okrt run --engine ray")
    match = _SERVER.match(spec)
    if not match:
        raise SpecError(f"{shown!r} names no server: write NAME@http://host:port/v1")
    name, url = match.groups()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SpecError(f"{shown!r}: the URL cannot be read: {redact(str(error))}") from None
    if not parts.hostname or parts.fragment or re.search(r"\s", url):
        raise SpecError(f"{shown!r}: the URL has no host or holds stray characters: "
                        "write NAME@http://host:port/v1")  # fmt: skip
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    headers, secrets = {}, [parts.username, parts.password, user, password]
    if user or password:
        both = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {both}"
        secrets.append(both)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Endpoint(
        name,
        f"{parts.scheme.lower()}://{place}{parts.path.rstrip('/')}",
        headers,
        query,
        tuple(secret for secret in [*secrets, *query.values()] if secret),
    )
