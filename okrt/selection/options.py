"""The options of an evaluation, as pytest and `okrt run` have them. Imports nothing of okrt."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Declared(NamedTuple):
    name: str
    kind: Literal["value", "several", "flag"]
    metavar: str
    help: str


OPTIONS = (
    Declared("model", "several", "[LABEL=]SPEC", "a model to evaluate: expert:NAME, tiny:NAME, a "
             "checkpoint or adapter directory, NAME@http://host:port/v1, module:attribute; "
             "repeatable (default: both experts); OKRT_SHORT_OPTIONS=0 frees the short name"),
    Declared("runtime", "several", "NAME", "a runtime contract: persistent, stateless, files, "
             "carryover, carryover-announced, reset-every-K, or module:attribute; repeatable "
             "(default: the first two)"),
    Declared("tier", "several", "TIER", "a tier of the family; repeatable (default: the marker's)"),
    Declared("seeds", "value", "N|A:B", "task seeds, like 20 or 100:120 (default: the marker's)"),
    Declared("repeats", "value", "N", "episodes per task and cell (default: 1)"),
    Declared("tool-cap", "value", "N[,N...]", "tool calls a block may make; several, like "
             "10,25,80, are crossed with the cells (default: the tier's)"),
    Declared("max-turns", "value", "N", "turns an episode may take (default: 40)"),
    Declared("temperature", "value", "T", "sampling temperature; 0 is greedy (default: 0.2)"),
    Declared("max-new-tokens", "value", "N", "tokens of one reply (default: 2048)"),
    Declared("observation-chars", "value", "N", "characters of one observation, the middle cut "
             "out beyond (default: 20000)"),
    Declared("prompts", "value", "SET", "prompt set: matched or coached (default: matched)"),
    Declared("cue", "value", "CUE[,CUE...]", "sentence about the runtime in the prompt: none, true "
             "or false; several are crossed (default: none)"),
    Declared("names", "value", "on|off", "whether observations list the names alive; off,on "
             "crosses both (default: off)"),
    Declared("format", "value", "FORMAT", "how replies hold code: fenced, code_tag, or tool_call "
             "(a call of the function python) (default: fenced)"),
    Declared("thinking", "value", "MODE", "off (the template is told so), strip (thinking leaves "
             "the history) or keep (default: off)"),
    Declared("trained-under", "several", "LABEL=CONTRACT", "declares what a model was trained "
             "under: persistent, stateless or mixed; repeatable"),
    Declared("base-model", "value", "DIR", "the base of the adapters among the models, in place of "
             "the one that they record"),
    Declared("concurrency", "value", "N", "episodes in flight in one process; a scripted model's "
             "run one by one (default: what the model can use, 16)"),
    Declared("kv-tokens", "value", "N", "tokens that a checkpoint's cache holds at most, counted "
             "as episodes times the longest; beyond it episodes wait (default: no limit)"),
    Declared("stop-repetition", "value", "N|off", "stop a checkpoint's reply whose last N tokens "
             "are one piece at least eight times over (default: 512)"),
    Declared("cell-minutes", "value", "M", "stop a cell after so many minutes: what it has is "
             "kept, the rest is not run (default: no limit)"),
    Declared("allow-package", "several", "NAME", "a package that blocks may import beside the "
             "standard library, read-only; repeatable"),
    Declared("unsafe-runtime", "flag", "", "run the models' code without a sandbox, with your own "
             "rights"),
    Declared("salt", "value", "FILE", "draw the tasks from the secret in this file, of at least 16 "
             "bytes, which is recorded by a digest; okrt salt makes one (default: public tasks)"),
    Declared("out", "value", "DIR", "run directory (default: okrt-runs/<time>-<id>)"),
    Declared("resume", "value", "RUN", "go on in this run directory: run what it lacks, given the "
             "same options but --okrt-out"),
    Declared("max-hours", "value", "H", "end the session after so many hours, as incomplete: "
             "what it has is kept, --okrt-resume runs the rest (default: no limit)"),
    Declared("max-tokens", "value", "N", "end the session, likewise, once the episodes that it "
             "recorded have so many tokens in all (default: no limit)"),
    Declared("gates", "value", "FILE", "decide by the gates of a TOML file whether the model "
             "passes, and exit with 0 only then; needs --model; `release` names those that ship"),
    Declared("baseline", "value", "RUN|NAME", "the run or saved baseline that this run is compared "
             "with (okrt baseline save RUN NAME)"),
    Declared("preset", "value", "release|cue", "release: what the other options leave open "
             "(runtimes, tiers, seeds, repeats, settings) is taken from --okrt-baseline, and the "
             "gates are those that ship; needs --model. cue: --okrt-cue none,true,false crossed "
             "with --okrt-names off,on"),
    Declared("estimate", "flag", "", "run three tasks a cell, print what the whole would take, "
             "and stop"),
)  # fmt: skip
