"""Strings of the command line -> objects: the only edge where names become things.

Everything else in okrt takes objects. `module:attribute` names a user's own.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from okrt import asking
from okrt.errors import FamilyError, SpecError, UsageError
from okrt.families import ledger_audit, lookup_control, opaque_knapsack
from okrt.families.ledger_audit import experts as ledger_audit_experts
from okrt.families.lookup_control import experts as lookup_control_experts
from okrt.families.opaque_knapsack import experts as opaque_knapsack_experts
from okrt.models.checkpoint import (
    check_checkpoint,
    checkpoint_digest,
    read_note,
    shipped_checkpoint,
    tokenizer_digest,
)
from okrt.models.counter import COUNTER
from okrt.models.endpoint import IN_FLIGHT, endpoint, names_server, pool
from okrt.models.scripted import ScriptedModel
from okrt.prompts import function
from okrt.redact import api_key, redact
from okrt.run import guard_family
from okrt.runtimes import contracts
from okrt.salt import PrivateFamily, Salt
from okrt.types import (
    Contract,
    Conversation,
    Model,
    ModelCard,
    Settings,
    Split,
    Task,
    TaskFamily,
    TrainedUnder,
)

if TYPE_CHECKING:
    from okrt.models.openai_server import ServerModel

FAMILIES: Mapping[str, TaskFamily] = {
    family.name: family
    for family in (
        opaque_knapsack.OpaqueKnapsack(),
        ledger_audit.LedgerAudit(),
        lookup_control.LookupControl(),
    )
}
CONTRACTS: Mapping[str, Contract] = {c.name: c for c in contracts.CONTRACTS}
EXPERTS: Mapping[str, Callable[[str], Callable[[Conversation], str]]] = {
    "opaque_knapsack": opaque_knapsack_experts.expert,
    "ledger_audit": ledger_audit_experts.expert,
    "lookup_control": lookup_control_experts.expert,
}
"""Each names the same experts, so that one spec serves a run of several families."""
DEFAULT_MODELS = ("expert:persistent", "expert:stateless")
DEFAULT_CONTRACTS = ("persistent", "stateless")
MOST_CALLS = 999_999_999
"""That a tool cap may allow: experts read no more digits off the prompt."""
TRAINED_UNDER: tuple[TrainedUnder, ...] = ("persistent", "stateless", "mixed", "unknown")

_LABELLED = re.compile(r"^([A-Za-z0-9][\w.-]*)=(.+)$")
_LABEL = re.compile(r"^[\w.,:=@+-]+$")
_RESET = re.compile(r"^reset-every-([1-9]\d{0,5})$")
_TASK = re.compile(
    r"^([^/]+)/([^/]+)/(eval|train|val)/(\d{1,18})(?:@(\d{1,9}))?(?:~([0-9a-f]{8}))?$"
)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """`[LABEL=]SPEC`, taken apart."""

    label: str
    spec: str
    """Without credentials: what is shown and written."""
    path: Path = field(default=Path(), compare=False)
    """The spec as an absolute path, for where it is one or stands for one."""
    given: str = field(default="", compare=False, repr=False)
    """The spec as it was given: what is used."""
    base: Path | None = None
    """Of an adapter, in the stead of the base that it records."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How a checkpoint on this machine or a server is asked; greedy replies of a checkpoint in fp32
    do not depend on it."""

    concurrency: int | None = None
    """Conversations that are continued together; None: as many as usual."""
    kv_tokens: int | None = None
    """Tokens that the cache of a checkpoint holds at most; None: no limit."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A model and its card."""

    card: ModelCard
    model: Model


def model_spec(text: str) -> ModelSpec:
    """Returns the label and spec of `[LABEL=]SPEC`.

    The default label is the spec itself for `expert:`, `tiny:` and `module:attribute`, else the
    last part of the path, or of the name that a server has for it.

    Raises:
        SpecError: the text is empty, its label cannot stand in a test id, or no such tiny
            checkpoint ships.
    """
    match = _LABELLED.match(text)
    label, spec = match.groups() if match else ("", text)
    if not spec.strip():
        raise SpecError(f"empty model {text!r}: give [LABEL=]SPEC")
    given = spec
    if "://" in given:
        spec = redact(given)
    if not label and names_server(given):
        label = given.partition("@")[0].rpartition("/")[2]
    if not label:
        label = spec if ":" in spec else Path(spec).resolve().name
    kind, _, rest = spec.partition(":")
    if not _LABEL.match(label):
        raise SpecError(f"label {label!r} has characters a test id cannot hold: give LABEL={spec}")
    path = shipped_checkpoint(rest) if kind == "tiny" else Path(spec).resolve()
    return ModelSpec(label, spec, path, given)


def model_specs(texts: tuple[str, ...]) -> tuple[ModelSpec, ...]:
    """Returns the specs of several models. Raises SpecError: see `model_spec`; or equal labels."""
    specs = tuple(model_spec(text) for text in texts)
    for number, spec in enumerate(specs):
        if any(spec.label == other.label for other in specs[:number]):
            raise SpecError(
                f"two models are labelled {spec.label!r}: tell them apart with LABEL=SPEC"
            )
    return specs


def check_model(spec: ModelSpec) -> None:
    """Finds out, without loading any weights or asking any server, whether a spec names a model.

    Raises:
        SpecError: the spec names nothing, or a directory that holds no checkpoint.
    """
    kind, _, rest = spec.spec.partition(":")
    if kind == "expert":
        _expert_function(rest, next(iter(EXPERTS)))
    elif names_server(spec.given):
        for one in pool(spec.given):
            endpoint(one)
        if importlib.util.find_spec("openai") is None:
            raise SpecError(f"{spec.spec} is on a server, which needs: pip install 'okrt[server]'")
    elif _is_attribute(spec):
        as_model(attribute(spec.spec), spec, Settings())
    else:
        _check_directory(spec)
        read_note(spec.path)


def check_expert(spec: ModelSpec, family_name: str) -> None:
    """Finds out whether a family has the expert that a spec names, if it names one.

    Raises:
        SpecError: the family has no such expert, or the expert no such setting.
    """
    kind, _, rest = spec.spec.partition(":")
    if kind == "expert":
        _expert_function(rest, family_name)


def load_model(
    spec: ModelSpec,
    settings: Settings,
    family: str,
    trained_under: TrainedUnder | None = None,
    serving: Serving = Serving(),
) -> Agent:
    """Returns the model of a spec, ready to answer.

    Raises:
        SpecError: see `check_model`; or an expert is asked of a family that has none.
        UsageError: the checkpoint cannot be loaded, or the server cannot be used.
    """
    kind, _, rest = spec.spec.partition(":")
    if kind == "expert":
        return _expert(spec, rest, family, trained_under)
    if names_server(spec.given):
        return _server(spec, settings, trained_under, serving.concurrency)
    if _is_attribute(spec):
        model = as_model(attribute(spec.spec), spec, settings)
        return Agent(own_card(spec, model, trained_under), model)
    _check_directory(spec)
    from okrt.models.local import BATCH_SIZE, LocalModel  # torch: loaded for a checkpoint alone

    card = _local_card(spec, trained_under)
    return Agent(
        card,
        LocalModel(
            spec.path,
            temperature=settings.temperature,
            max_new_tokens=settings.max_new_tokens,
            thinking=settings.thinking,
            batch_size=serving.concurrency or BATCH_SIZE,
            kv_tokens=serving.kv_tokens,
            stop_repetition=settings.stop_repetition,
            base=spec.base,
            function=function(settings.format),
        ),
    )


def card(spec: ModelSpec, trained_under: TrainedUnder | None = None) -> ModelCard:
    """Returns the card of a model without loading its weights. A server's model is not meant: it
    has its card from the server, by `load_model`.

    Raises:
        SpecError: see `check_model`.
    """
    kind, _, rest = spec.spec.partition(":")
    if kind == "expert":
        return _expert(spec, rest, next(iter(EXPERTS)), trained_under).card
    if _is_attribute(spec):
        return own_card(spec, as_model(attribute(spec.spec), spec, Settings()), trained_under)
    _check_directory(spec)
    return _local_card(spec, trained_under)


def as_model(found: Any, spec: ModelSpec, settings: Settings) -> Model:
    """Returns a model from a user's object: a `Model`, or a function from conversation to text.

    Raises:
        SpecError: it is neither.
    """
    if callable(getattr(found, "generate", None)) and isinstance(getattr(found, "name", None), str):
        model: Model = found
        return model
    if callable(found) and not isinstance(found, type):
        return ScriptedModel(spec.label, found, settings.max_new_tokens)
    raise SpecError(
        f"model {spec.spec!r} is a {type(found).__name__}: it must have `name` and `generate`, "
        "or be a function from a Conversation to text"
    )


def own_card(spec: ModelSpec, model: Model, trained_under: TrainedUnder | None) -> ModelCard:
    """Returns the card of a user's own object; nothing is known of how it counts its tokens."""
    tokenizer = COUNTER if isinstance(model, ScriptedModel) else f"own:{spec.spec}"
    return ModelCard(
        spec.label,
        spec.spec,
        "scripted",
        trained_under=trained_under or "unknown",
        tokenizer=tokenizer,
    )


def contract(text: str, own: Contract | None = None) -> Contract:
    """Returns the contract of a name or `module:attribute`.

    Args:
        own: what somebody else has already found for the text.

    Raises:
        SpecError: the name is unknown, or the object breaks its protocol (the member is named).
    """
    if own is None and text in CONTRACTS:
        return CONTRACTS[text]
    if own is None and text.startswith("reset-every-"):
        return _reset_every(text)
    if own is None and ":" not in text:
        known = ", ".join([*CONTRACTS, "reset-every-K"])
        raise SpecError(f"unknown runtime {text!r}; known: {known}, or module:attribute")
    found: Contract = attribute(text) if own is None else own
    if problem := asking.problem(found):
        raise SpecError(f"runtime {text!r} breaks its protocol: {problem}")
    known_by_name = CONTRACTS.get(found.name) or _RESET.match(found.name)
    if known_by_name and not type(found).__module__.startswith("okrt."):
        raise SpecError(
            f"runtime {text!r} is named {found.name!r}, as one of okrt's own: rename it"
        )
    if not _LABEL.match(found.name):
        raise SpecError(
            f"runtime {text!r} is named {found.name!r}, which has characters a test id cannot hold"
        )
    return found


def _reset_every(text: str) -> Contract:
    match = _RESET.match(text)
    if not match or int(match[1]) < 2:
        raise SpecError(
            f"unknown runtime {text!r}: give reset-every-K, K a number of blocks from 2 on, "
            "like reset-every-3"
        )
    return contracts.ResetEvery(int(match[1]))


def family(value: str | TaskFamily) -> TaskFamily:
    """Returns the family of a name, of `module:attribute`, or the object given.

    Raises:
        SpecError: the name is unknown, or the object lacks a member (named) or any tier.
    """
    if isinstance(value, str):
        if value in FAMILIES:
            return FAMILIES[value]
        if ":" not in value:
            raise SpecError(
                f"unknown family {value!r}; known: {', '.join(FAMILIES)}, or module:attribute"
            )
        found: TaskFamily = attribute(value)
    else:
        found = value
    _require(str(value), "family", found, ("name", "tiers", "task", "environment"))
    if not found.tiers:
        raise SpecError(f"family {found.name!r} has no tiers: give it at least one")
    return found


def tier(text: str, of: TaskFamily) -> str:
    """Returns the tier. Raises SpecError: the family has no such tier."""
    if text not in of.tiers:
        raise SpecError(f"unknown tier {text!r} of {of.name}; known: {', '.join(of.tiers)}")
    return text


def task(text: str, salt: Salt | None = None) -> Task:
    """Returns the task of an id, `family/tier/split/seed[@version][~salt]`.

    Raises:
        SpecError: it is no such id, this version of the task is no longer generated, or it is a
            private task and not of this salt.
    """
    match = _TASK.match(text)
    if not match:
        raise SpecError(f"{text!r} is no task id: write family/tier/split/seed, like {_EXAMPLE}")
    name, tier_name, split, seed, version, digest = match.groups()
    if digest and digest != (salt and salt.digest):
        had = f"this one has the digest {salt.digest}" if salt else "it is drawn from a secret"
        raise SpecError(
            f"{text} is a private task: {had}; give --salt FILE, the file whose digest is {digest}"
        )
    of = family(name)
    tier(tier_name, of)
    of = of if salt is None else PrivateFamily(of, salt)
    made = make_task(of, int(seed), tier_name, split)  # type: ignore[arg-type]
    if version and int(version) != made.version:
        raise SpecError(f"{text}: this okrt generates version {made.version}, not {version}")
    return made


_EXAMPLE = "opaque_knapsack/easy/eval/17"


def make_task(of: TaskFamily, seed: int, tier_name: str, split: Split = "eval") -> Task:
    """Returns a task. Raises FamilyError: the family raised, or returned something else."""
    made = guard_family("TaskFamily.task", lambda: of.task(seed, tier_name, split))
    if not isinstance(made, Task):
        raise FamilyError(f"TaskFamily.task must return a Task, got {made!r:.200}")
    asked, got = (of.name, tier_name, split, seed), (made.family, made.tier, made.split, made.seed)
    if asked != got:
        raise FamilyError(f"TaskFamily.task was asked for {asked} and returned {got}")
    try:
        msgspec.json.encode(made)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise FamilyError(f"TaskFamily.task: Task.private must be JSON data: {error}") from None
    return made


def seeds(text: str) -> range:
    """Returns the seeds of `20` (the first twenty) or `100:120` (the last one left out).

    Raises:
        UsageError: it is no such range, or an empty one.
    """
    match = re.fullmatch(r"(\d{1,18})(?::(\d{1,18}))?", text.strip())
    if not match:
        raise UsageError(f"cannot read seeds {text!r}: write 20 or 100:120")
    first, last = match.groups()
    found = range(int(first), int(last)) if last is not None else range(int(first))
    if not found:
        raise UsageError(f"seeds {text!r} is an empty range: write 20 or 100:120")
    return found


def tool_cap(text: str, option: str) -> int:
    """Returns how many tool calls a block may make.

    Args:
        option: as the user wrote it.

    Raises:
        UsageError: it is no whole number from 1 to `MOST_CALLS`.
    """
    number = text.strip()
    if number.isdecimal() and len(number) > len(str(MOST_CALLS)):  # int() takes not all of them
        raise UsageError(f"{option} {text!r:.60}: give at most {MOST_CALLS:,}")
    if not number.isdecimal() or int(number) < 1:
        raise UsageError(f"{option} {text!r:.60}: give a whole number of at least 1")
    return int(number)


def attribute(text: str) -> Any:
    """Returns the object of `module:attribute`, which is looked for in the working directory last.

    Raises:
        SpecError: the module cannot be imported or has no such attribute.
    """
    module, _, name = text.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # to stay: the module may import others later
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's module raises on import
        raise SpecError(
            f"cannot import {module!r} of {text!r}: {type(error).__name__}: {error}"
        ) from None
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise SpecError(f"{text!r}: {module} has no attribute {name!r}") from None
    return found


def source_digest(text: str) -> str | None:
    """Returns the digest of the file that the module of `module:attribute` was loaded from; None
    where the text is no such name, or the module comes from no file."""
    module, _, attribute_name = text.partition(":")
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not attribute_name or module in ("expert", "tiny"):
        return None
    with suppress(OSError):  # it lies in an archive
        return f"sha256:{hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
    return None


def _require(text: str, what: str, found: object, members: tuple[str, ...]) -> None:
    missing = [name for name in members if getattr(found, name, None) is None]
    if missing:
        raise SpecError(f"{what} {text!r} breaks its protocol: it has no {', '.join(missing)}")


def _expert_function(text: str, family_name: str) -> Callable[[Conversation], str]:
    if family_name not in EXPERTS:
        raise SpecError(f"family {family_name!r} has no experts; give a --model")
    try:
        return EXPERTS[family_name](text)
    except ValueError as error:
        raise SpecError(f"expert:{text} of {family_name}: {error}") from None


def _expert(
    spec: ModelSpec,
    text: str,
    family_name: str,
    trained_under: TrainedUnder | None,
) -> Agent:
    respond = _expert_function(text, family_name)
    name = text.split(",")[0]
    idiom: TrainedUnder = "unknown"
    if name in ("persistent", "stateless"):
        idiom = "persistent" if name == "persistent" else "stateless"
    card = ModelCard(
        spec.label,
        spec.spec,
        "scripted",
        trained_under=trained_under or idiom,
        tokenizer=COUNTER,
    )
    return Agent(card, ScriptedModel(spec.label, respond))  # never cut: their replies are the data


def _is_attribute(spec: ModelSpec) -> bool:
    return ":" in spec.spec and not spec.path.exists()


def _check_directory(spec: ModelSpec) -> None:
    if not spec.path.is_dir():
        raise SpecError(
            f"unknown model {spec.spec!r}: there is no such directory; give expert:NAME, "
            "tiny:NAME, a checkpoint directory, NAME@http://host:port/v1, or module:attribute"
        )
    check_checkpoint(spec.path, spec.base)
    if any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")):
        raise SpecError(f"{spec.spec} is a checkpoint, which needs: pip install 'okrt[hf]'")


def _server(
    spec: ModelSpec, settings: Settings, trained_under: TrainedUnder | None, concurrency: int | None
) -> Agent:
    model = _server_model(spec, settings, concurrency)
    card = ModelCard(
        spec.label,
        spec.spec,
        "server",
        trained_under=trained_under or "unknown",
        tokenizer=f"server:{model.facts.base or model.name}",
        server=model.facts,
    )
    return Agent(card, model)


def _server_model(
    spec: ModelSpec, settings: Settings, concurrency: int | None = None
) -> ServerModel:
    check_model(spec)
    from okrt.models.openai_server import ServerModel  # openai: loaded for a server alone

    return ServerModel(
        endpoint(spec.given),
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        thinking=settings.thinking,
        key=api_key(os.environ),
        concurrency=concurrency or IN_FLIGHT,
        function=function(settings.format),
    )


def _local_card(spec: ModelSpec, trained_under: TrainedUnder | None) -> ModelCard:
    path = spec.path
    declared = read_note(path)
    return ModelCard(
        spec.label,
        spec.spec,
        "local",
        digest=checkpoint_digest(path, spec.base),
        trained_under=trained_under or declared.trained_under,
        tokenizer=tokenizer_digest(path, spec.base),
        tiers=declared.tiers,
    )
