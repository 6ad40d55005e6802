"""Rows: one flat record per episode, derived from it and from nothing else.

A row can be made again from any saved episode, with no model, task family or sandbox at hand. The
fields and their meaning are a contract with readers outside okrt (`docs/format.md`): later versions
may add fields, never change or remove one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from okrt.analysis.demand import demands
from okrt.analysis.missing import (
    guarded_losses,
    missing_variables,
    recovery_turns,
    redefinitions,
)
from okrt.errors import StoreError
from okrt.types import (
    Cue,
    Ending,
    Episode,
    Execution,
    Failure,
    Format,
    Message,
    ModelKind,
    Outcome,
    Split,
    Thinking,
    ToolCall,
    TrainedUnder,
    Trajectory,
    Turn,
)

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One episode. None is "not known" or "not measured", never 0.

    What is counted is None where there is no trajectory, what is judged is None where there is no
    outcome: an episode that infrastructure broke off (`failure`) has neither.
    """

    schema: int
    """The version of this record, 1."""
    episode_id: str
    task_id: str
    """`family/tier/split/seed@version`, and `~salt` of a private task."""
    family: str
    tier: str
    split: Split
    seed: int
    repeat: int
    """Which of several episodes of the same task, from 0."""
    contract: str
    runtime: str
    """The same as `contract`, under the name that users know it by."""
    model: str
    """The model's label."""
    model_spec: str
    """What was asked for on the command line."""
    model_digest: str | None
    """Digest of the weights; None where there are none."""
    model_kind: ModelKind
    trained_under: TrainedUnder
    """The contract of the traces the model was trained on, as declared; never guessed."""
    prompt_set: str
    prompt_digest: str
    """Digest of the prompt texts for this contract, the task's own text left out."""
    cue: Cue
    """Whether the prompt says what survives a turn: `none`, the truth, or the opposite."""
    names: bool
    """Whether observations list the names alive."""
    format: Format
    thinking: Thinking
    tokenizer: str
    """What counted the tokens: a digest of the tokenizer, or the name of a simple counter."""
    tool_cap: int
    """Tool calls that a block could make."""
    max_turns: int
    temperature: float
    ending: Ending | None
    failure: Failure | None
    """The infrastructure that failed: `boundary`, `error_type`, `message`."""
    score: float | None
    """In [0, 1]."""
    floor_score: float | None
    """What play without any knowledge scores on this task, on average."""
    reference_score: float | None
    """What a scripted reference scores on this task under the same budget; may be exceeded."""
    relative_score: float | None
    """(score - floor) / (reference - floor): 0 at the floor, 1 at the reference, outside [0, 1]
    beyond them. None unless both are known and the reference lies above the floor."""
    selection_score: float | None
    """The value taken over the best that could have been taken of what this agent inspected."""
    solved: bool | None
    turns: int | None
    """Replies of the model."""
    tool_calls: int | None
    """Calls that were served, those that a tool answered with an error included."""
    cap_hits: int | None
    """Turns in which calls were refused because the cap was reached."""
    refused_calls: int | None
    """Calls refused beyond the cap."""
    prompt_tokens: int | None
    """Summed over turns; the history counts again in each."""
    completion_tokens: int | None
    """Tokens generated, summed over turns."""
    new_tokens: int | None
    """Tokens fed or generated for the first time: the first prompt, every completion, and by how
    much each later prompt is longer than the prompt and completion before it."""
    total_tokens: int | None
    """prompt_tokens + completion_tokens. Source: the measure of arXiv 2603.01209."""
    transcript_chars: int | None
    """Characters of all messages, each counted once; comparable between tokenizers."""
    errors: Mapping[str, int] | None
    """Turns whose block did not end `ok`, by exception type; `Timeout` and `Died` where the process
    was lost. Sorted by type."""
    missing_variable_errors: int | None
    """Turns that an uncaught NameError ended: lost + typo + undefined."""
    lost_errors: int | None
    """Of these, those whose name an earlier turn had bound."""
    typo_errors: int | None
    """Of the rest, those whose name is an edit or two away from a name bound or a tool called."""
    undefined_errors: int | None
    """The rest."""
    guarded_losses: int | None
    """Turns that read a name which was gone under a handler for NameError: a loss, but no error."""
    redefinitions: int | None
    """Names of earlier turns that a block bound anew, summed over turns."""
    repeated_inspections: int | None
    """Successful tool calls that had succeeded with the same arguments in an earlier turn; `finish`
    is left out."""
    restarts: int | None
    """Turns after which the session started empty although its contract keeps names."""
    recovery_turns: int | None
    """Turns from the one after a missing-variable error to the first whose block ran to its end."""
    timing: Mapping[str, float | str]
    """Seconds and circumstances, `isolation` among them. No two runs share it: "byte-identical" is
    always said of rows with `timing` dropped."""
    packages: tuple[str, ...] = ()
    """Packages beyond the standard library that blocks may import."""
    trained_on_tier: bool | None = None
    """Whether the model was trained on tasks of this tier; None where that is not known."""
    repetition_stops: int | None = None
    """Replies that were cut for repeating themselves; None where that was not looked at."""
    adapter_verified: bool | None = None
    """Whether a server's adapter was seen to change anything; None: no adapter, or unverified."""
    transcript_digest: str | None = None
    """Digest of what the model was shown and said: equal where the messages are, verbatim."""
    salt: str | None = None
    """Digest of the secret that drew the task; None where anyone can make it from its seed."""
    blocks: int | None = None
    """Blocks of code that were run. Of these, `cap_hits` tried to make more calls than the cap."""
    max_demand: int | None = None
    """The most tool calls that a block tried to make, those beyond the cap counted; 0 where no
    block was run."""
    cut_blocks: int | None = None
    """Blocks that the cap, the deadline or death ended: they may have wanted more calls than were
    counted."""


def row(episode: Episode) -> Row:
    """Returns the row of an episode."""
    outcome = episode.outcome if episode.failure is None else None
    trajectory = episode.trajectory
    return Row(
        schema=SCHEMA_VERSION,
        **_identity(episode),
        ending=trajectory.ending if trajectory and episode.failure is None else None,
        failure=episode.failure,
        **_quality(outcome),
        **_counts(trajectory, episode.tools),
        timing=episode.timing,
        packages=episode.settings.packages,
    )


def encode(one: Row) -> bytes:
    """Returns the row as one JSON document without a newline."""
    return msgspec.json.encode(one)


def decode(line: bytes | str) -> Row:
    """Returns the row of a JSON document; fields that a later version added are passed over.

    Raises:
        StoreError: it is no JSON, no row, or of an unknown schema.
    """
    try:
        found = msgspec.json.decode(line, type=Row)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        _check_schema(_schema(line))
        remedy = "make rows.jsonl again from episodes.jsonl"
        raise StoreError(f"not a row: {error}; {remedy}") from None
    _check_schema(found.schema)
    return found


def _check_schema(schema: int) -> None:
    if schema != SCHEMA_VERSION:
        raise StoreError(
            f"row schema {schema} is unknown to this version of okrt (knows {SCHEMA_VERSION})"
        )


class _Head(msgspec.Struct):
    schema: int


def _schema(line: bytes | str) -> int:
    """The schema of a document that is no row of today's; ours where it names none."""
    try:
        return msgspec.json.decode(line, type=_Head).schema
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return SCHEMA_VERSION


def _identity(episode: Episode) -> dict[str, Any]:
    task, model, settings = episode.task, episode.model, episode.settings
    return {
        "episode_id": episode.id,
        "task_id": task.id,
        "family": task.family,
        "tier": task.tier,
        "split": task.split,
        "seed": task.seed,
        "salt": task.salt,
        "repeat": episode.repeat,
        "contract": episode.contract,
        "runtime": episode.contract,
        "model": model.label,
        "model_spec": model.spec,
        "model_digest": model.digest,
        "model_kind": model.kind,
        "trained_under": model.trained_under,
        "adapter_verified": None if model.server is None else model.server.adapter_verified,
        "trained_on_tier": None if model.tiers is None else episode.task.tier in model.tiers,
        "prompt_set": settings.prompt_set,
        "prompt_digest": episode.prompt_digest,
        "cue": settings.cue,
        "names": settings.names,
        "format": settings.format,
        "thinking": settings.thinking,
        "tokenizer": model.tokenizer,
        "tool_cap": task.tool_cap if settings.tool_cap is None else settings.tool_cap,
        "max_turns": settings.max_turns,
        "temperature": float(settings.temperature),
    }


def _quality(outcome: Outcome | None) -> dict[str, Any]:
    score = None if outcome is None else float(outcome.score)
    metrics = {} if outcome is None else outcome.metrics
    floor, reference, selection = (
        None if value is None else float(value)
        for value in map(metrics.get, ("floor_score", "reference_score", "selection_score"))
    )
    return {
        "score": score,
        "floor_score": floor,
        "reference_score": reference,
        "relative_score": _relative(score, floor, reference),
        "selection_score": selection,
        "solved": None if outcome is None else outcome.solved,
    }


def _relative(score: float | None, floor: float | None, reference: float | None) -> float | None:
    if score is None or floor is None or reference is None or reference <= floor:
        return None
    relative = (score - floor) / (reference - floor)
    return relative if math.isfinite(relative) else None


def _counts(trajectory: Trajectory | None, tools: Sequence[str]) -> dict[str, Any]:
    if trajectory is None:
        return dict.fromkeys(_counts(Trajectory("", (), "finished"), tools))
    turns = trajectory.turns
    executions = [turn.execution for turn in turns if turn.execution is not None]
    missing = [found for found in missing_variables(turns, tools) if found is not None]
    prompt, completion, new = _tokens(turns)
    messages = trajectory.messages()
    return {
        "turns": len(turns),
        "tool_calls": sum(len(execution.calls) for execution in executions),
        "cap_hits": sum(execution.refused_calls > 0 for execution in executions),
        "refused_calls": sum(execution.refused_calls for execution in executions),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "new_tokens": new,
        "total_tokens": None if prompt is None or completion is None else prompt + completion,
        "transcript_chars": sum(len(message.content) for message in messages),
        "errors": _errors(executions),
        "missing_variable_errors": len(missing),
        "lost_errors": missing.count("lost"),
        "typo_errors": missing.count("typo"),
        "undefined_errors": missing.count("undefined"),
        "guarded_losses": guarded_losses(turns),
        "redefinitions": redefinitions(turns),
        "repeated_inspections": _repeated_inspections(executions),
        "restarts": sum(execution.restarted for execution in executions),
        "recovery_turns": recovery_turns(turns),
        "repetition_stops": _repetition_stops(turns),
        **_demand(turns),
        "transcript_digest": _digest(messages),
    }


def _demand(turns: Sequence[Turn]) -> dict[str, int]:
    found = demands(turns)
    return {
        "blocks": len(found),
        "max_demand": max((one.calls for one in found), default=0),
        "cut_blocks": sum(one.at_least for one in found),
    }


def _digest(messages: Sequence[Message]) -> str:
    """Without the ids of tool calls, which servers draw at random."""
    digest = hashlib.sha256()
    for message in messages:
        asked = [part for call in message.tool_calls or () for part in (call.name, call.arguments)]
        for text in (message.role, message.content, *asked):
            data = text.encode("utf-8", "backslashreplace")  # as it is stored
            digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()[:16]


def _repetition_stops(turns: Sequence[Turn]) -> int | None:
    known = [t.completion.looped for t in turns if t.completion.looped is not None]
    return sum(known) if known else None


def _tokens(turns: Sequence[Turn]) -> tuple[int | None, int | None, int | None]:
    """Prompt, completion and new tokens. An episode that took no turn used none."""
    usages = [turn.completion.usage for turn in turns]
    prompts = [usage.prompt_tokens for usage in usages if usage.prompt_tokens is not None]
    generated = [u.completion_tokens for u in usages if u.completion_tokens is not None]
    prompt = sum(prompts) if len(prompts) == len(turns) else None
    completion = sum(generated) if len(generated) == len(turns) else None
    if prompt is None or completion is None:
        return prompt, completion, None
    seen, fed = 0, 0
    for now, answer in zip(prompts, generated, strict=True):
        fed += max(0, now - seen)
        seen = now + answer
    return prompt, completion, fed + completion


def _errors(executions: Sequence[Execution]) -> dict[str, int]:
    counts = Counter(
        execution.error_type or execution.status.capitalize()
        for execution in executions
        if execution.status != "ok"
    )
    return dict(sorted(counts.items()))


def _repeated_inspections(executions: Sequence[Execution]) -> int:
    earlier: set[str] = set()
    count = 0
    for execution in executions:
        calls = [_call_key(c) for c in execution.calls if c.error is None and c.name != "finish"]
        count += sum(call in earlier for call in calls)
        earlier.update(calls)
    return count


def _call_key(call: ToolCall) -> str:
    return json.dumps([call.name, call.args], sort_keys=True)
