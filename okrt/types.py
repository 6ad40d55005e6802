"""The nouns of okrt and the protocols of what plugs in.

Every noun is frozen and slotted and holds plain data, so that an episode goes to JSON and back
unchanged. This module imports the standard library alone and promises no behaviour beyond
`Trajectory.messages()`, the one place where turns become text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol

Role = Literal["user", "assistant", "tool"]
Split = Literal["eval", "train", "val"]
Format = Literal["fenced", "code_tag", "tool_call"]
Thinking = Literal["off", "strip", "keep"]
Cue = Literal["none", "true", "false"]
FinishReason = Literal["stop", "length", "context"]
ExecutionStatus = Literal["ok", "raised", "cap", "timeout", "died"]
Ending = Literal["finished", "max_turns", "context", "token_budget"]
ModelKind = Literal["scripted", "local", "server"]
TrainedUnder = Literal["persistent", "stateless", "mixed", "unknown"]
Boundary = Literal["model", "runtime", "family", "contract", "worker"]

FUNCTION, ARGUMENT = "python", "code"
"""What an agent calls to act (format `tool_call`), and the argument that holds its block."""

# -- a conversation and what answers it -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool call as a chat message carries it (agent format `tool_call`)."""

    id: str
    name: str
    arguments: str
    """The arguments, a JSON object as text."""
    start: int
    """Where the message's content begins to spell the call; it ends with it."""


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """The one function that a model is offered to act by (agent format `tool_call`)."""

    description: str
    argument_description: str
    name: str = FUNCTION
    argument: str = ARGUMENT
    """Its only argument: a block of code, as text."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat. There is no system role: it is folded into the first user message."""

    role: Role
    content: str
    """Of a reply: all that was written, verbatim, a tool call as `<tool_call>`, JSON,
    `</tool_call>`."""
    tool_calls: tuple[ToolRequest, ...] | None = None
    """What the content spells, for those who keep calls apart from it; one at most."""
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one completion, or their sum over turns. None is "not measured", never 0."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    """Of the prompt's, those a prefix cache held; of a checkpoint on this machine, those fed in the
    episode's own earlier turns."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered to one conversation."""

    text: str
    finish_reason: FinishReason
    """`length`: cut by the limit of new tokens. `context`: the conversation no longer fits."""
    usage: Usage
    token_ids: tuple[int, ...] | None = None
    """The generated ids without the end-of-turn token; the source of truth for later turns."""
    looped: bool | None = None
    """Whether it was cut (`length`) for repeating itself; None: that was not looked at."""
    call_id: str | None = None
    """The id that a server gave the first tool call."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a model is asked to continue: the messages, and what identifies this very request."""

    messages: tuple[Message, ...]
    completions: tuple[Completion, ...] = ()
    """The completions behind the assistant messages, in order: their token ids."""
    episode_id: str = ""
    seed: int = 0
    """Seed of this reply; it derives from (task, repeat, turn), never from the contract."""
    function: FunctionTool | None = None
    """What the model is offered to call; None where it writes its code into the reply."""


# -- what a block of code did ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a block made: the result, or the error that the block was given instead."""

    name: str
    args: tuple[Any, ...]
    """Positional arguments, after binding to the tool's signature."""
    result: Any = None
    error: str | None = None
    """`ErrorType: message`, or None where the call returned."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What running one block did."""

    status: ExecutionStatus
    """`raised`: an uncaught exception; `cap`: the tool-call cap was hit and not caught; `timeout`:
    past the block's deadline; `died`: the process ended."""
    stdout: str = ""
    """Standard output and error, interleaved, cut at `Limits.output_bytes`."""
    truncated_chars: int = 0
    error_type: str | None = None
    error: str | None = None
    """The traceback, the block's lines only; for `timeout` and `died` one sentence."""
    missing_name: str | None = None
    """The name of an uncaught NameError."""
    calls: tuple[ToolCall, ...] = ()
    refused_calls: int = 0
    """Calls beyond the cap."""
    carried_names: tuple[str, ...] | None = None
    """Names the agent had bound that were alive when the block began, sorted."""
    bound_names: tuple[str, ...] | None = None
    """Names of the agent's alive when the block ended, sorted. None: the process was lost."""
    restarted: bool = False
    """The session starts empty afterwards although its contract would have kept the names, or the
    files."""
    late_output_bytes: int = 0
    """Output that arrived after an earlier block had ended; discarded."""


@dataclass(frozen=True, slots=True)
class Turn:
    completion: Completion
    reply: str
    """The part of the completion that stays in the history, verbatim."""
    code: str | None
    execution: Execution | None
    observation: str
    """The text shown to the model, verbatim; empty after the last turn."""
    reply_problem: str | None = None
    """Why the reply was not one clean block (`okrt.parse.PROBLEMS`), or None."""
    discarded_chars: int = 0
    """Characters of the completion cut from the history: text after a block, thinking."""
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds: `sandbox_s`, and whatever else was measured."""
    call: ToolRequest | None = None
    """The tool call that the observation answers; None where there is none, or none to be read."""


# -- tasks -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """One instance: the same family, tier, split, seed and version are the same bytes anywhere."""

    family: str
    tier: str
    split: Split
    seed: int
    version: int
    prompt: str
    """The task as the agent reads it, tools included; nothing about the runtime."""
    private: Mapping[str, Any]
    """What only the host may know. JSON data."""
    tool_cap: int
    """Tool calls a block may make, unless the user sets another cap."""
    salt: str | None = None
    """Digest of the secret that drew it; None: anyone can make it from its seed."""

    @property
    def id(self) -> str:
        salt = "" if self.salt is None else f"~{self.salt}"
        return f"{self.family}/{self.tier}/{self.split}/{self.seed}@{self.version}{salt}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended up, judged by the environment."""

    score: float
    """In [0, 1]."""
    solved: bool
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    """Further measures. `floor_score`, `reference_score`, `selection_score` reach the row."""


# -- episodes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trajectory:
    prompt: str
    turns: tuple[Turn, ...]
    ending: Ending
    function: FunctionTool | None = None
    """What the model was offered to call, verbatim."""

    def messages(self) -> list[Message]:
        """Returns the chat of this trajectory: what evaluation feeds and training trains on."""
        return render(self.prompt, self.turns)

    @property
    def usage(self) -> Usage:
        """Sums over turns; the history counts again in each turn's prompt tokens."""
        usages = [turn.completion.usage for turn in self.turns]
        return Usage(
            prompt_tokens=_sum([u.prompt_tokens for u in usages]),
            completion_tokens=_sum([u.completion_tokens for u in usages]),
            reasoning_tokens=_sum([u.reasoning_tokens for u in usages]),
            cached_tokens=_sum([u.cached_tokens for u in usages]),
        )


def render(prompt: str, turns: Sequence[Turn]) -> list[Message]:
    """Returns the messages of a prompt and the turns so far. Only ever grows as turns are added."""
    messages = [Message("user", prompt)]
    for turn in turns:
        call = turn.call
        messages.append(Message("assistant", turn.reply, None if call is None else (call,)))
        if turn.observation and call is not None:
            messages.append(Message("tool", turn.observation, tool_call_id=call.id))
        elif turn.observation:
            messages.append(Message("user", turn.observation))
    return messages


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if values and len(known) == len(values) else None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself. None is "not known": most servers say little."""

    url: str
    """Its address, without credentials."""
    version: str | None = None
    context: int | None = None
    """Tokens of the longest conversation that it takes."""
    dtype: str | None = None
    prefix_caching: bool | None = None
    reasoning_parser: str | None = None
    base: str | None = None
    """The model that the one asked for is an adapter of."""
    adapter_verified: bool | None = None
    """Whether the adapter was seen to change log-probabilities; None: no adapter, or unverified."""
    refused_fields: tuple[str, ...] = ()
    """Fields of a request that it does not take: its own defaults for them are in force."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which model answered: what a row and a report need to name it."""

    label: str
    spec: str
    kind: ModelKind
    digest: str | None = None
    """Digest of the weights (and adapter), or None where there are none."""
    trained_under: TrainedUnder = "unknown"
    tokenizer: str = ""
    """Digest of the tokenizer, or the name of the counter that stands in for one."""
    tiers: tuple[str, ...] | None = None
    """The tiers it was trained on, where known."""
    server: ServerFacts | None = None
    """What is known of the server, for a model that one has."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything but task, contract and model that decides what an episode is."""

    prompt_set: str = "matched"
    cue: Cue = "none"
    names: bool = False
    format: Format = "fenced"
    thinking: Thinking = "off"
    tool_cap: int | None = None
    """None: the task's own."""
    max_turns: int = 40
    temperature: float = 0.2
    max_new_tokens: int = 2048
    observation_chars: int = 20_000
    token_budget: int | None = None
    """Prompt plus completion tokens over all turns, or None."""
    packages: tuple[str, ...] = ()
    """Packages beyond the standard library that blocks may import."""
    stop_repetition: int | None = None
    """Tokens that must repeat themselves for a reply to be stopped; 0: never. None: as the model
    does."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Infrastructure that failed; never put down to the model's quality."""

    boundary: Boundary
    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class Episode:
    """One task, one contract, one model, one repeat: the record that everything is derived from."""

    id: str
    task: Task
    repeat: int
    contract: str
    model: ModelCard
    settings: Settings
    prompt_digest: str
    """Digest of the prompt set's texts as rendered for this contract, task text left out."""
    trajectory: Trajectory | None
    outcome: Outcome | None
    failure: Failure | None = None
    timing: Mapping[str, float | str] = field(default_factory=dict)
    """`wall_s`, `model_s`, `sandbox_s`, `harness_s`, `batch_size`, `cached_tokens`, `isolation`,
    `landlock_abi`: what no two runs share."""
    tools: tuple[str, ...] = ()
    """Names of the tools that the blocks could call, sorted."""


# -- what plugs in ---------------------------------------------------------------------------------


class Environment(Protocol):
    """One task being worked on. Lives on the host; the sandbox sees its tools over a wire."""

    @property
    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """Tools by name. Arguments and results are JSON data; `okrt.errors.ToolError` (and
        TypeError, ValueError, LookupError) reaches the block, anything else is a family's fault."""
        ...

    @property
    def finished(self) -> bool:
        """True once the agent has declared the task done."""
        ...

    def outcome(self) -> Outcome:
        """Returns the outcome as things stand. May be asked at any moment."""
        ...


class TaskFamily(Protocol):
    """A generator of tasks and of the environments that judge them."""

    @property
    def name(self) -> str: ...

    @property
    def tiers(self) -> tuple[str, ...]: ...

    def task(self, seed: int, tier: str, split: Split = "eval") -> Task:
        """Returns the instance; a pure function of its arguments.

        Raises:
            ValueError: the tier is unknown or the seed is negative.
        """
        ...

    def environment(self, task: Task) -> Environment: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What the next block finds of the blocks before it.

    Raises:
        ValueError: names without files: the process that holds the names has the files open.
    """

    names: bool
    """Its namespace: the process stays."""
    files: bool
    """Its scratch directory; without names, a fresh process has the directory."""
    note: str = ""
    """What the observation of the block before says of it; empty: nothing."""

    def __post_init__(self) -> None:
        if self.names and not self.files:
            raise ValueError("names are kept by keeping the process, and its files with it")


class Contract(Protocol):
    """What survives a turn boundary: the independent variable."""

    @property
    def name(self) -> str: ...

    @property
    def notice(self) -> str:
        """One true sentence about what survives, for the cue axis."""
        ...

    @property
    def false_notice(self) -> str:
        """One false sentence about it."""
        ...

    def keeps(self, turn: int, last: Execution) -> Kept:
        """Returns what block `turn` (1 is the second) finds of the block before it, `last`, and of
        what that one found. A pure function: of one boundary it may be asked more than once. The
        `restarted` of `last` is False: it follows from the answer."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What a block may use."""

    block_s: float = 10.0
    """Wall-clock seconds of one block, tool time included."""
    output_bytes: int = 65_536
    tool_cap: int = 25
    memory_mib: int = 512


class Session(Protocol):
    """The interpreter of one episode; a context manager."""

    def execute(self, code: str) -> Execution:
        """Runs one block. What the code does, dying included, is data.

        Raises:
            okrt.errors.RuntimeFailure: the sandbox itself failed.
            okrt.errors.FamilyError: a tool broke its protocol.
            okrt.errors.ContractError: the contract broke its protocol.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Session: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Runtime(Protocol):
    """Where code runs."""

    @property
    def isolation(self) -> str:
        """The isolation tier, as the rows record it."""
        ...

    @property
    def landlock_abi(self) -> int | None:
        """The Landlock ABI in force, None where Landlock plays no part."""
        ...

    def open(
        self,
        contract: Contract,
        tools: Mapping[str, Callable[..., Any]],
        limits: Limits,
        seed: str = "",
    ) -> Session:
        """Returns a new session. `random` is seeded from `seed` and the turn in each block.

        Raises:
            okrt.errors.RuntimeFailure: no sandbox can be started.
        """
        ...

    def close(self) -> None: ...


class Model(Protocol):
    """Anything that continues conversations.

    A model may have `answer_some(conversations) -> list[tuple[int, Completion | ModelFailure]]`
    besides: at least one answer, each with its conversation's place; a failure in a completion's
    stead fails that episode alone. The driver then goes on with those that are answered, and passes
    the others again, the same objects, with what has become ready meanwhile.

    It may have `release()`, called when no conversation is under way and others may come;
    `close()`, called when no more is asked; and `concurrency`, a whole number: how many
    conversations it is best asked together.
    """

    @property
    def name(self) -> str: ...

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """Returns one completion for each conversation, in order.

        Raises:
            okrt.errors.ModelFailure: no answer can be had (not: a bad answer, which is data).
        """
        ...
