"""Secrets are kept out of whatever is written or printed.

Keys come from the environment, credentials may stand in URLs; both can come back in the text of an
exception or of a server's answer. `redact` is pure; `without_secrets` is what the rim calls.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from itertools import islice

KEY_VARIABLES = ("OKRT_API_KEY", "OPENAI_API_KEY")
"""Where a server's key is looked for, in this order."""
MASK = "***"
SHORTEST = 6
"""Characters of the shortest secret that is searched for: a placeholder like `EMPTY` or `none`
would blot out words that are no secret."""

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_URL = re.compile(rf"\b({_SCHEME})((?:(?!,{_SCHEME})[^\s'\"<>])+)")
"""Of URLs that commas part, each by itself."""
_USER = re.compile(r"^[^/?#]*@")
_VALUE = re.compile(r"=[^&#]*")
_NAMED = re.compile(
    r"((?:authorization|(?:x-)?api[-_ ]?key|access[-_]?token|auth[-_]?token|password|passwd|secret)"
    r"['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic)\s+)?)[^\s'\",;&)}]+",
    re.IGNORECASE,
)
_OPTION = re.compile(r"--?[\w-]*(key|token|passw(or)?d|secret)", re.IGNORECASE)
"""An option, of another plugin's: what follows it is nobody's business."""
_BEARER = re.compile(r"\b(bearer\s+)[^\s'\",;)}]+", re.IGNORECASE)
_TOKEN = re.compile(r"\b(?:sk|hf|ghp|xox[bp])[-_](?=[\w-]*\d)[\w-]{12,}")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Returns the text without credentials.

    Gone are the given secrets, the user and the query's values of URLs, what follows names such
    as `Authorization` or `api_key`, bearer tokens, and what looks like a well-known service's key.
    """
    for secret in sorted({s for s in secrets if len(s) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _URL.sub(lambda found: found[1] + _bare(found[2]), text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    return _TOKEN.sub(MASK, text)


def api_key(environment: Mapping[str, str]) -> str | None:
    """Returns the key for servers, or None where the environment has none."""
    return next((environment[name] for name in KEY_VARIABLES if environment.get(name)), None)


def without_secrets(text: str) -> str:
    """Returns the text as it may be written: redacted, the keys of the environment included."""
    return redact(text, (os.environ[name] for name in KEY_VARIABLES if os.environ.get(name)))


def arguments_without_secrets(words: Iterable[str]) -> list[str]:
    """Returns a command's arguments as they may be written: likewise, and what is given to options
    such as `--db-password` is masked, in the same word or the next."""
    kept: list[str] = []
    left = iter(words)
    for word in left:
        name, given, _ = word.partition("=")
        if not _OPTION.fullmatch(name):
            kept.append(without_secrets(word))
        elif given:
            kept.append(f"{name}={MASK}")
        else:
            kept += [name, *(MASK for _ in islice(left, 1))]
    return kept


def _bare(rest: str) -> str:
    """Returns what follows `://` without its user, the values of its query masked."""
    place, question, query = _USER.sub("", rest).partition("?")
    return place + question + _VALUE.sub(f"={MASK}", query)
