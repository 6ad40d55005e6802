"""The host's end of the wire, without a process behind it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okrt.runtimes.frames import MAX_DEPTH, not_json
from okrt.runtimes.scratch import remove_tree
from okrt.runtimes.wire import Output

# -- output ---------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=9), max_size=9), st.integers(0, 40))
def test_output_keeps_a_prefix_and_counts_the_rest(chunks: list[bytes], cap: int) -> None:
    output = Output(cap)
    for chunk in chunks:
        output.feed(chunk)
    whole = b"".join(chunks).decode(errors="replace")
    text = output.text()
    kept = text.split("[output cut at")[0]
    if output.dropped_chars:
        assert whole.startswith((kept, kept[:-1]))
        assert len(whole) - output.dropped_chars in (len(kept), len(kept) - 1)
    else:
        assert text == whole


@given(st.text(max_size=30), st.integers(0, 60))
def test_a_character_astride_the_cap_is_dropped(text: str, cap: int) -> None:
    output = Output(cap)
    output.feed(text.encode())
    shown = output.text()
    kept = text.encode()[:cap].decode(errors="ignore")
    assert shown.startswith(kept)
    assert output.dropped_chars == len(text) - len(kept)


# -- JSON data ------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=4),
    max_leaves=20,
)


@given(json_data)
def test_json_data_is_json_data(value: object) -> None:
    assert not_json(value) is None


@given(json_data, st.sampled_from([{1}, b"x", float("inf"), 2**64, "\ud800", {1: 2}, not_json]))
def test_one_wrong_part_spoils_the_whole(value: object, wrong: object) -> None:
    assert not_json([value, {"deep": [wrong]}]) is not None
    assert not_json({"\ud800": value}) is not None


def test_depth_counts_levels() -> None:
    value: object = 0
    for _ in range(MAX_DEPTH):
        value = [value]
    assert not_json(value) is None
    assert not_json([value]) == f"data nested deeper than {MAX_DEPTH} levels"


def test_data_that_holds_itself_many_times_is_told_soon() -> None:
    loop: list[object] = []
    loop += [loop, loop]
    assert not_json(loop) is not None


# -- scratch directories --------------------------------------------------------------------------


def test_a_tree_goes_however_deep_and_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(root)
    for _ in range(1050):  # beyond the recursion limit
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(tmp_path)
    (root / "locked").mkdir()
    (root / "locked" / "file").touch()
    (root / "locked").chmod(0)
    (root / "d" / "bad\udcff").touch()
    remove_tree(root)
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_points_at_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "root" / "broken").symlink_to("nowhere")
    remove_tree(tmp_path / "root")
    (tmp_path / "root").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "root")
    assert (tmp_path / "kept" / "file").exists()


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_directory_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    remove_tree(tmp_path / name)
    assert (tmp_path / "file").exists()
