"""A row as flat columns of text and numbers, which CSV and Parquet share.

What nests in a row (errors, timing, packages) is JSON text in a column; a failure is three columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from okrt.analysis.rows import Row
from okrt.types import Failure

Kind = Literal["text", "integer", "number", "truth"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    meaning: str


def values(row: Row) -> dict[str, Value]:
    """Returns the row's value in each of `COLUMNS`, in their order; None is "not known".

    Text is valid Unicode, numbers are finite: what is not a number is not known.
    """
    found: dict[str, Value] = {}
    for name in _FIELDS:
        value = getattr(row, name)
        if name == "failure":
            found |= {f"failure_{part}": clean(getattr(value, part, None)) for part in _FAILURE}
        elif name in _NESTED:
            found[name] = None if value is None else encode(value).decode()
        else:
            found[name] = value if type(value) is int else clean(value)
    return found


def clean(value: Any) -> Any:
    """Returns JSON data as every reader takes it: what UTF-8 cannot hold (lone surrogates) written
    as escapes, None for floats that are no finite number, integers beyond 64 bits as text."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case float():
            return value if math.isfinite(value) else None
        case int() if not -(2**63) <= value < 2**63:
            return str(value)
        case Mapping():
            return {clean(key): clean(item) for key, item in value.items()}
        case list() | tuple():
            return [clean(item) for item in value]
        case _:
            return value


def encode(value: Any) -> bytes:
    """Returns the data as JSON, made `clean`."""
    return msgspec.json.encode(clean(value))


def _kind(annotation: Any) -> Kind:
    union = get_origin(annotation) in (Union, UnionType)
    (one,) = {*(get_args(annotation) if union else [annotation])} - {NoneType}
    if get_origin(one) is Literal:
        one = type(get_args(one)[0])
    return _KINDS[one]


_NESTED = ("errors", "timing", "packages")
_FAILURE = tuple(part.name for part in fields(Failure))
_FIELDS = tuple(field.name for field in fields(Row))
_KINDS: dict[Any, Kind] = {str: "text", int: "integer", float: "number", bool: "truth"}

MEANINGS: dict[str, str] = {
    "schema": "version of the row",
    "episode_id": "the same for the same task, repeat, runtime, model, settings and prompt texts",
    "task_id": "family/tier/split/seed@version",
    "salt": "digest of the secret that drew a private task; none where the task is public",
    "family": "family of tasks",
    "tier": "difficulty within the family",
    "split": "eval, train or val; no task is in two",
    "seed": "number of the task in its tier and split",
    "repeat": "which of several episodes of the same task, from 0",
    "contract": "what survives a turn: persistent, stateless, ...",
    "runtime": "the same as contract",
    "model": "the model's label",
    "model_spec": "what was asked for, without credentials",
    "model_digest": "digest of the weights; none where there are none, or a server has them",
    "model_kind": "scripted, local or server",
    "trained_under": "contract of the traces the model was trained on, as declared",
    "prompt_set": "which prompt texts: matched (the same under every contract) or coached",
    "prompt_digest": "digest of the prompt texts, the task's own left out",
    "cue": "whether the prompt says what survives a turn: none, true (the truth), false",
    "names": "whether observations list the names alive",
    "format": "how a block is written: fenced, code_tag or tool_call",
    "thinking": "off, strip or keep",
    "tokenizer": "what counted the tokens; counts compare only where it is the same",
    "tool_cap": "tool calls that one block could make",
    "max_turns": "turns that the episode could take",
    "temperature": "of sampling; 0 is greedy",
    "ending": "finished, or the limit that ended it: max_turns, context, token_budget",
    "failure_boundary": "the infrastructure that failed: model, runtime, family, contract, worker",
    "failure_error_type": "type of its exception",
    "failure_message": "one line of what it said",
    "score": "in [0, 1]; none where infrastructure failed",
    "floor_score": "what blind play scores on this task, on average",
    "reference_score": "what a scripted player scores under the same budget; may be passed",
    "relative_score": "(score - floor) / (reference - floor)",
    "selection_score": "value taken over the best among what the agent inspected",
    "solved": "whether the family counts the task as solved",
    "turns": "replies of the model",
    "tool_calls": "calls served, those answered with an error included",
    "cap_hits": "turns in which calls were refused because the cap was reached",
    "refused_calls": "calls refused beyond the cap",
    "blocks": "blocks of code that were run",
    "max_demand": "the most tool calls that a block tried to make, those beyond the cap counted",
    "cut_blocks": "blocks that the cap, the deadline or death ended",
    "prompt_tokens": "tokens read, summed over turns: the history counts in each",
    "completion_tokens": "tokens generated",
    "new_tokens": "tokens read or generated for the first time",
    "total_tokens": "prompt_tokens + completion_tokens",
    "transcript_chars": "characters of all messages, each counted once",
    "errors": "JSON object: turns whose block did not end well, by type of exception",
    "missing_variable_errors": "turns that an uncaught NameError ended: the sum of the next three",
    "lost_errors": "of these, an earlier turn had bound the name",
    "typo_errors": "of the rest, the name is an edit or two from one that was known",
    "undefined_errors": "the rest",
    "guarded_losses": "turns that read a lost name under a handler for NameError",
    "redefinitions": "names of earlier turns that a block bound anew",
    "repeated_inspections": "successful tool calls that had succeeded in an earlier turn",
    "restarts": "turns after which the session was lost although its contract keeps it",
    "recovery_turns": "turns from after a missing variable to the first block that ran",
    "timing": "JSON object: seconds and circumstances, what no two runs share",
    "packages": "JSON list: packages beyond the standard library that blocks may import",
    "trained_on_tier": "whether the model was trained on tasks of this tier",
    "repetition_stops": "replies that were cut for repeating themselves",
    "adapter_verified": "whether a server's adapter was seen to change anything",
    "transcript_digest": "digest of the messages: equal where transcripts are",
}
"""What each column is, on one line; docs/format.md says it in full."""


def _columns() -> tuple[Column, ...]:
    hints = get_type_hints(Row)
    found: list[tuple[str, Kind]] = []
    for name in _FIELDS:
        if name == "failure":
            found += [(f"failure_{part}", "text") for part in _FAILURE]
        else:
            found.append((name, "text" if name in _NESTED else _kind(hints[name])))
    return tuple(Column(name, kind, MEANINGS.get(name, "")) for name, kind in found)


COLUMNS = _columns()
