"""A folder that `datasets.load_dataset` reads, offline or from a hub: Parquet files and a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from okrt.exports.columns import values
from okrt.exports.hf_card import CARD, Held, card
from okrt.exports.messages import chat
from okrt.exports.parquet import MESSAGES, ROWS, Groups, length
from okrt.exports.source import Entry, Source

_KEPT = (
    "episode_id", "task_id", "family", "tier", "split", "model", "trained_under", "runtime",
    "repeat", "tool_cap", "cue", "names", "ending", "score",
)  # fmt: skip
CHATS = pa.schema([ROWS.field(name) for name in _KEPT]).append(MESSAGES)
"""The columns of `messages/`: the chat, what names it, and how it ended."""


def write(entries: Iterable[Entry], path: Path, source: Source, messages: bool) -> None:
    """Writes `rows/SPLIT.parquet`, `messages/SPLIT.parquet` and the card into the folder.

    Episodes that infrastructure broke off have a row and no messages.

    Raises: see `okrt.exports.parquet.write`.
    """
    held: Counter[Held] = Counter()
    splits: dict[str, set[str]] = {"rows": set()}
    with ExitStack() as stack:
        files: dict[tuple[str, str], Groups] = {}

        def put(config: str, schema: Any, record: dict[str, Any], chars: int) -> None:
            split = record["split"]
            if (config, split) not in files:
                splits.setdefault(config, set()).add(split)
                (path / config).mkdir(exist_ok=True)
                new = Groups(path / config / f"{split}.parquet", schema)
                files[config, split] = stack.enter_context(new)
            files[config, split].add(record, chars)

        for row, episode in entries:
            record = values(row)
            cell = (row.family, row.tier, row.model, row.trained_under, row.contract)
            held[Held(*cell, row.tool_cap, row.cue, row.names)] += 1
            put("rows", ROWS, record, 0)
            said = chat(episode) if messages and episode is not None else None
            if said is not None:
                put("messages", CHATS, {**record, "messages": said}, length(said))
    (path / CARD).write_text(card(source.name, source.run, held, splits), "utf-8")
