"""A brief is what tables and reports need of a row, and little in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import fields, replace

from hypothesis import given, settings

from okrt.analysis.brief import Brief, brief, briefs
from okrt.analysis.rows import Row, decode, encode, row
from okrt.types import Episode
from tests.analysis.build import episodes, law, sample

SAMPLE = encode(row(sample()))
SPENT: dict[str, float | str] = {
    "model_s": 2,
    "sandbox_s": 0.5,
    "harness_s": 0.25,
    "cached_tokens": 60,
    "isolation": "T1",
}


def many(count: int) -> Iterator[Row]:
    """Rows as they come from a file: no two share a text."""
    for seed in range(count):
        read = decode(SAMPLE)
        yield replace(read, episode_id=f"{seed:016x}", task_id=f"t/{seed}", seed=seed + 10**6)


@settings(law, max_examples=20)
@given(episodes())
def test_fields_are_those_of_the_row(one: Episode) -> None:
    made = row(one)
    short = brief(made, {})
    of_timing = {"isolation", "model_s", "sandbox_s", "harness_s", "cached_tokens"}
    for field in fields(Brief):
        if field.name not in of_timing:
            assert getattr(short, field.name) == getattr(made, field.name)


def test_time_spent_and_isolation_come_from_timing() -> None:
    short = brief(replace(decode(SAMPLE), timing=SPENT), {})
    assert (short.model_s, short.sandbox_s, short.harness_s) == (2.0, 0.5, 0.25)
    assert (short.cached_tokens, short.isolation) == (60.0, "T1")
    without = brief(replace(decode(SAMPLE), timing={}), {})
    assert (without.model_s, without.cached_tokens, without.isolation) == (
        None, None, "not recorded",
    )  # fmt: skip


def test_equal_texts_are_one_object() -> None:
    one, other = briefs(many(2))
    assert one.model is other.model
    assert one.tokenizer is other.tokenizer
    assert list(briefs([one, *many(1)])) == [one, one]


def test_rows_that_come_one_by_one_are_not_kept() -> None:
    def held(kind: type) -> float:
        """Bytes that stay of each of 1,000 rows."""
        tracemalloc.start()
        kept = list(briefs(many(1_000))) if kind is Brief else list(many(1_000))
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size / len(kept)

    assert held(Brief) < 1_200 < held(Row)
