"""The command that makes a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from okrt.redact import arguments_without_secrets
from okrt.report.plain import plain

_PLACES = ("--okrt-out", "--out", "--okrt-resume", "--resume", "--shard")


def reproduced(run: Mapping[str, Any]) -> list[str]:
    """Returns it as lines of Markdown; `run` is `run.json`."""
    command = command_of(run)
    if not command:
        return ["The command was not recorded."]
    lines = ["```console", f"$ {plain(command).replace(chr(10), chr(32))}", "```"]
    if run.get("shard") or run.get("shards"):
        lines += ["", "It was run in shards, which were joined by `okrt merge`."]
    return lines


def command_of(run: Mapping[str, Any]) -> str:
    """Returns the command that a run was begun by, without where it was written and without
    credentials; nothing where `run.json` does not say it."""
    arguments = [str(argument) for argument in run.get("arguments") or ()]
    if not arguments and not run.get("manifest"):
        return ""
    program = "okrt" if arguments[:1] == ["run"] and not run.get("manifest") else "pytest"
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in _PLACES:
            next(words, None)
        elif word.partition("=")[0] not in _PLACES:
            kept.append(word)
    return shlex.join([program, *arguments_without_secrets(kept)])
