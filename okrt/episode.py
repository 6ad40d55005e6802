"""The agent loop, as a generator that does no I/O of its own.

`rollout` yields a conversation, is sent a completion, and returns a trajectory. It knows no model,
thread or event loop; code runs behind the `Session` protocol. One loop serves serial runs, batches,
trace generation, replay and property tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace
from time import perf_counter

from okrt import asking
from okrt.parse import Reply, parse
from okrt.prompts import function, render_prompt
from okrt.types import (
    Completion,
    Contract,
    Conversation,
    Ending,
    Environment,
    Execution,
    Kept,
    Session,
    Settings,
    Task,
    Trajectory,
    Turn,
    render,
)

Rollout = Generator[Conversation, Completion, Trajectory]

RESTARTED = "The interpreter was restarted: nothing that earlier blocks defined is left."


def rollout(
    task: Task,
    environment: Environment,
    contract: Contract,
    session: Session,
    settings: Settings,
    *,
    repeat: int = 0,
    episode_id: str = "",
) -> Rollout:
    """Yields conversations, takes completions, returns the trajectory of one episode.

    A completion whose finish reason is `context` was never generated and makes no turn. The turn in
    which the environment is finished ends the episode as `finished`, be it the last one allowed.

    Raises:
        okrt.errors.UsageError: the settings name no prompt.
        okrt.errors.InfrastructureError: from the session, the contract or the environment.
    """
    prompt = render_prompt(task, contract, settings)
    offered = function(settings.format)
    turns: list[Turn] = []
    while True:
        completion = yield Conversation(
            messages=tuple(render(prompt, turns)),
            completions=tuple(turn.completion for turn in turns),
            episode_id=episode_id,
            seed=reply_seed(task.id, repeat, len(turns)),
            function=offered,
        )
        if completion.finish_reason == "context":
            return Trajectory(prompt, tuple(turns), "context", offered)
        reply = parse(completion.text, settings.format, settings.thinking, completion.finish_reason)
        started = perf_counter()
        execution = session.execute(reply.code) if reply.code is not None else None
        timing = {"sandbox_s": perf_counter() - started}
        made_up = f"call{len(turns):05d}"  # nine signs: some servers want no other number
        turns.append(_turn(completion, reply, execution, timing, completion.call_id or made_up))
        if ending := _ending(environment, turns, settings):
            return Trajectory(prompt, tuple(turns), ending, offered)
        kept = _kept(turns, contract)
        note = kept.note if execution is not None else ""
        observation = observe(reply, execution, _alive(turns, kept), settings, note)
        turns[-1] = replace(turns[-1], observation=observation)


def reply_seed(task_id: str, repeat: int, turn: int) -> int:
    """Returns the sampling seed of one reply, in [0, 2**63); the same under every contract."""
    digest = hashlib.sha256(f"{task_id}/{repeat}/{turn}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def observe(
    reply: Reply,
    execution: Execution | None,
    alive: tuple[str, ...],
    settings: Settings,
    note: str = "",
) -> str:
    """Returns the text shown to the model: output, traceback, then notes, then the names alive.

    Args:
        note: what the contract has to say of the block, unless its session was restarted: then
            that is not so.
    """
    parts: list[str] = []
    if execution is not None:
        output = execution.stdout.rstrip("\n")
        shown = "\n".join(part for part in (output, execution.error) if part)
        parts.append(cut_middle(shown, settings.observation_chars) or "(no output)")
        if told := RESTARTED if execution.restarted else note:
            parts.append(f"[note] {told}")
    parts += [f"[note] {note}" for note in reply.notes]
    if settings.names:
        parts.append(f"[names] {', '.join(alive) or 'none'}")
    return "\n".join(parts)


def cut_middle(text: str, limit: int) -> str:
    """Returns the text with its middle replaced by a remark if it is longer than `limit`."""
    if len(text) <= limit:
        return text
    head, tail = (limit + 1) // 2, limit // 2
    cut = f"\n[... {len(text) - limit} characters cut here ...]\n"
    return text[:head] + cut + text[len(text) - tail :]


def _turn(
    completion: Completion,
    reply: Reply,
    execution: Execution | None,
    timing: dict[str, float],
    call_id: str,
) -> Turn:
    return Turn(
        completion=completion,
        reply=reply.kept,
        code=reply.code,
        execution=execution,
        observation="",
        reply_problem=reply.problem,
        discarded_chars=reply.discarded_chars,
        timing=timing,
        call=None if reply.call is None else replace(reply.call, id=call_id),
    )


def _ending(environment: Environment, turns: list[Turn], settings: Settings) -> Ending | None:
    if environment.finished:
        return "finished"
    if len(turns) >= settings.max_turns:
        return "max_turns"
    if settings.token_budget is not None and _tokens(turns) >= settings.token_budget:
        return "token_budget"
    return None


def _tokens(turns: list[Turn]) -> int:
    usages = [turn.completion.usage for turn in turns]
    return sum((u.prompt_tokens or 0) + (u.completion_tokens or 0) for u in usages)


def _runs(turns: list[Turn]) -> list[Execution]:
    return [turn.execution for turn in turns if turn.execution is not None]


def _kept(turns: list[Turn], contract: Contract) -> Kept:
    """Returns what the next block will find."""
    runs = _runs(turns)
    return asking.kept(contract, len(runs), runs[-1]) if runs else Kept(names=False, files=False)


def _alive(turns: list[Turn], kept: Kept) -> tuple[str, ...]:
    """Returns the names that the next block will find."""
    return (_runs(turns)[-1].bound_names or ()) if kept.names else ()
