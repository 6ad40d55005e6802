"""The options in pytest: how they are declared and looked up."""

from __future__ import annotations

import argparse
import os
from typing import Any

import pytest

from okrt.selection.options import OPTIONS


def add_options(parser: pytest.Parser) -> None:
    """Declares every option twice, for the command line and as an ini key."""
    group = parser.getgroup("okrt", "okrt: does the model fit the runtime?")
    for option in OPTIONS:
        keywords: dict[str, Any] = {"dest": dest(option.name), "help": option.help}
        if option.kind == "flag":
            keywords |= {"action": "store_true", "default": None}
        else:
            keywords["metavar"] = option.metavar
            keywords["action"] = "append" if option.kind == "several" else "store"
        _add(group, option.name, keywords)
        parser.addini(
            dest(option.name),
            option.help,
            type={"flag": "bool", "several": "args", "value": "string"}[option.kind],  # type: ignore[arg-type]
            default=None,
        )


def _add(group: pytest.OptionGroup, name: str, keywords: dict[str, Any]) -> None:
    short = name in ("model", "runtime") and os.environ.get("OKRT_SHORT_OPTIONS") != "0"
    names = [f"--okrt-{name}", *([f"--{name}"] if short else [])]
    try:
        group.addoption(*names, **keywords)
    except (ValueError, argparse.ArgumentError):  # another plugin has the short name already
        group.addoption(names[0], **keywords)


def is_configured(config: pytest.Config) -> bool:
    """Whether any option or ini key of okrt is set."""
    return any(value_of(config, option.name) is not None for option in OPTIONS)


def dest(name: str) -> str:
    return f"okrt_{name.replace('-', '_')}"


def value_of(config: pytest.Config, name: str) -> Any:
    """Returns the option, else the ini key, else None."""
    given = config.getoption(dest(name))
    if given is not None:
        return given
    return config.getini(dest(name)) or None
