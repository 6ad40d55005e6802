"""From a traces folder to the examples of a regime: the same tasks, in the same order, whole."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from okrt.errors import StoreError, UsageError
from okrt.store import EPISODES, decode_episode, encode_episode
from okrt.types import Episode, Split
from tests.checkpoints import QWEN_LIKE, make_tokenizer
from tests.training.toy_plans import Player, collect, plan, seeds
from training.dataset import IGNORED, Pairs, Regime, encode, read_pairs, select
from training.filters import Filters
from training.traces import COLLECT, CONTRACTS, episode_digest, read_record, write_record

TOKENIZER = make_tokenizer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both players add at once, so that persistent and stateless replies are alike."""
    folder = tmp_path_factory.mktemp("traces")
    collect(folder, plan(cue="true"))
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def rewrite(copy: Path, contract: str, change: Callable[[list[Episode]], list[Episode]]) -> None:
    file = copy / contract / EPISODES
    episodes = [decode_episode(line) for line in file.read_bytes().splitlines()]
    file.write_bytes(b"".join(map(encode_episode, change(episodes))))


def test_the_accepted_tasks_in_seed_order_under_both_contracts(folder: Path) -> None:
    pairs = read_pairs(folder)
    assert seeds(pairs.persistent) == seeds(pairs.stateless) == [1, 2, 3, 5, 7, 9]
    assert {one.contract for one in pairs.persistent} == {"persistent"}
    assert {one.contract for one in pairs.stateless} == {"stateless"}
    assert len(pairs) == 6
    assert pairs.digest == read_record(folder).survey.digest
    assert pairs.settings.arm == "none"


def test_the_order_of_the_lines_is_nothing(copy: Path) -> None:
    before = read_pairs(copy)
    rewrite(copy, "stateless", lambda episodes: episodes[::-1])
    assert read_pairs(copy) == before


def test_what_was_tried_beyond_the_pairs_is_left_out(copy: Path) -> None:
    nine = collect(copy, plan(9, cue="true"))
    collect(copy, plan(cue="true"))
    assert nine.tried > 10
    assert seeds(read_pairs(copy).persistent) == [1, 2, 3, 5, 7, 9]


@pytest.mark.parametrize("split", ["eval", "val"])
def test_a_task_of_another_split_is_refused(copy: Path, split: Split) -> None:
    def smuggle(episodes: list[Episode]) -> list[Episode]:
        first, *rest = episodes
        return [replace(first, task=replace(first.task, split=split)), *rest]

    rewrite(copy, "stateless", smuggle)
    with pytest.raises(UsageError, match=rf"of counting/low/{split}/0@1 under 'stateless'; only"):
        read_pairs(copy)


def test_a_folder_of_another_split_is_refused(copy: Path) -> None:
    record = read_record(copy)
    write_record(copy, replace(record, settings=replace(record.settings, split="val")))
    with pytest.raises(UsageError, match="holds tasks of split 'val', not 'train'"):
        read_pairs(copy)


def test_an_evaluation_folder_cannot_even_be_described(copy: Path) -> None:
    file = copy / COLLECT
    file.write_text(file.read_text().replace('"split": "train"', '"split": "eval"'))
    with pytest.raises(StoreError, match="damaged: Invalid enum value 'eval'"):
        read_pairs(copy)


def test_an_unfinished_folder_says_how_to_go_on(tmp_path: Path) -> None:
    collect(tmp_path, plan(max_tries=4))
    with pytest.raises(UsageError, match=r"unfinished \(3 of 6 pairs .*\): run the command"):
        read_pairs(tmp_path)
    collect(tmp_path, plan(3))
    assert len(read_pairs(tmp_path)) == 3


def test_a_half_pair_is_told(copy: Path) -> None:
    rewrite(copy, "stateless", lambda episodes: [e for e in episodes if e.task.seed != 5])
    with pytest.raises(UsageError, match=r"seed 5 has a trace under one contract only \(1 in all"):
        read_pairs(copy)


def test_a_folder_without_traces_is_told(copy: Path) -> None:
    for name in CONTRACTS:
        rewrite(copy, name, lambda episodes: [])
    with pytest.raises(UsageError, match="holds no accepted pair"):
        read_pairs(copy)


def test_a_pair_gone_altogether_is_told(copy: Path) -> None:
    for name in CONTRACTS:
        rewrite(copy, name, lambda episodes: [e for e in episodes if e.task.seed != 5])
    with pytest.raises(UsageError, match="the traces are not those that"):
        read_pairs(copy)


def test_a_trace_twice_is_told(copy: Path) -> None:
    rewrite(copy, "persistent", lambda episodes: [*episodes, episodes[3]])
    with pytest.raises(UsageError, match="two episodes of counting/low/train/3@1"):
        read_pairs(copy)


def test_a_trace_that_was_changed_is_told(copy: Path) -> None:
    def edit(episodes: list[Episode]) -> list[Episode]:
        return [replace(one, prompt_digest="other") for one in episodes]

    rewrite(copy, "persistent", edit)
    with pytest.raises(UsageError, match="the traces are not those that"):
        read_pairs(copy)


def test_timing_is_no_change(copy: Path) -> None:
    rewrite(copy, "persistent", lambda all_: [replace(one, timing={"wall_s": 9}) for one in all_])
    read_pairs(copy)


def test_a_field_that_came_later_changes_no_digest_until_it_says_something(folder: Path) -> None:
    line = (folder / "persistent" / EPISODES).read_bytes().splitlines(keepends=True)[0]
    now = re.sub(rb'"timing":{[^}]*}', b'"timing":{}', line)
    later = rb"stop_repetition|server|salt|looped|call|call_id|function"
    before = re.sub(rb',"(%b)":null' % later, b"", now)
    assert before != now
    episode = decode_episode(line)
    assert episode_digest(episode) == hashlib.sha256(before).hexdigest()
    says = replace(episode, settings=replace(episode.settings, stop_repetition=9))
    assert episode_digest(says) != episode_digest(episode)


def test_a_damaged_line_is_told(copy: Path) -> None:
    file = copy / "persistent" / EPISODES
    file.write_bytes(b"{}\n" + file.read_bytes())
    with pytest.raises(UsageError, match=r"episodes\.jsonl:1: .*collect into a new folder"):
        read_pairs(copy)


def test_no_folder_and_no_pairs(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"is no traces folder: it has no collect\.json"):
        read_pairs(tmp_path)
    pairs = replace(read_pairs(folder), persistent=(), stateless=())
    with pytest.raises(UsageError, match="no pairs to train on"):
        select(pairs, "persistent", "episodes", TOKENIZER)


def test_examples_are_the_encoded_traces_of_the_contract(folder: Path) -> None:
    pairs = read_pairs(folder)
    for contract in CONTRACTS:
        chosen = select(pairs, contract, "episodes", TOKENIZER)
        assert chosen.episodes == getattr(pairs, contract)
        trajectories = [one.trajectory for one in chosen.episodes if one.trajectory]
        assert chosen.encoded == tuple(encode(one, TOKENIZER) for one in trajectories)
        labels = [label for one in chosen.encoded for label in one.labels]
        assert chosen.loss_tokens == sum(label != IGNORED for label in labels)
        assert chosen.whole_loss_tokens[contract] == chosen.loss_tokens
        assert (chosen.refused, chosen.cut) == (0, 0)


def test_a_mixed_set_holds_both_traces_of_each_task(folder: Path) -> None:
    chosen = select(read_pairs(folder), "mixed", "episodes", TOKENIZER)
    assert seeds(chosen.episodes) == [1, 1, 2, 2, 3, 3, 5, 5, 7, 7, 9, 9]
    assert [one.contract for one in chosen.episodes] == list(CONTRACTS) * 6
    prompts = {one.trajectory.prompt.split("\n\n")[-2] for one in chosen.episodes if one.trajectory}
    assert len(prompts) == 2  # the cues


def test_a_mixed_set_needs_the_cue(tmp_path: Path) -> None:
    collect(tmp_path)
    with pytest.raises(UsageError, match="collect with --cue true"):
        select(read_pairs(tmp_path), "mixed", "episodes", TOKENIZER)


def wordy(pairs: Pairs, contract: str, words: int | str) -> Pairs:
    """The pairs with so many words, or this text, more in each last reply of the contract."""
    text = " more" * words if isinstance(words, int) else words

    def more(episode: Episode) -> Episode:
        assert episode.trajectory is not None
        *turns, last = episode.trajectory.turns
        reply = last.reply + text
        turns.append(replace(last, reply=reply))
        return replace(episode, trajectory=replace(episode.trajectory, turns=tuple(turns)))

    if contract == "stateless":
        return replace(pairs, stateless=tuple(map(more, pairs.stateless)))
    return replace(pairs, persistent=tuple(map(more, pairs.persistent)))


@pytest.mark.parametrize(("longer", "shorter"), [CONTRACTS, CONTRACTS[::-1]])
def test_matching_in_tokens_cuts_the_larger_set_to_whole_episodes(
    folder: Path, longer: Regime, shorter: Regime
) -> None:
    pairs = wordy(read_pairs(folder), longer, 20)
    small = select(pairs, shorter, "tokens", TOKENIZER)
    large = select(pairs, longer, "tokens", TOKENIZER)
    whole = select(pairs, longer, "episodes", TOKENIZER)
    assert (len(small.episodes), small.cut) == (6, 0)
    assert 0 < len(large.episodes) < 6
    assert large.cut == 6 - len(large.episodes)
    assert large.episodes == whole.episodes[: len(large.episodes)]
    assert large.encoded == whole.encoded[: len(large.episodes)]
    assert large.loss_tokens <= small.loss_tokens
    following = whole.encoded[len(large.episodes)]
    assert large.loss_tokens + following.loss_tokens > small.loss_tokens
    assert large.whole_loss_tokens == small.whole_loss_tokens
    assert large.whole_loss_tokens[longer] == whole.loss_tokens  # type: ignore[index]


def test_a_mixed_set_is_matched_to_the_same_tokens_in_whole_pairs(folder: Path) -> None:
    pairs = wordy(read_pairs(folder), "stateless", 5)
    small = select(pairs, "persistent", "tokens", TOKENIZER)
    mixed = select(pairs, "mixed", "tokens", TOKENIZER)
    assert mixed.loss_tokens <= small.loss_tokens
    assert [one.contract for one in mixed.episodes] == list(CONTRACTS) * (len(mixed.episodes) // 2)
    assert mixed.cut == 12 - len(mixed.episodes) > 0


def test_matching_that_leaves_nothing_is_told(folder: Path) -> None:
    pairs = wordy(read_pairs(folder), "stateless", 2000)
    with pytest.raises(UsageError, match="matching in tokens leaves no episode"):
        select(pairs, "stateless", "tokens", TOKENIZER)


def test_an_over_long_trace_takes_its_task_out_of_every_regime(folder: Path) -> None:
    pairs = read_pairs(folder)
    longer = wordy(replace(pairs, stateless=pairs.stateless[2:3]), "stateless", 300).stateless
    pairs = replace(pairs, stateless=(*pairs.stateless[:2], *longer, *pairs.stateless[3:]))
    limit = max(len(one.input_ids) for one in select(pairs, "mixed", "episodes", TOKENIZER).encoded)
    whole = select(pairs, "persistent", "episodes", TOKENIZER, limit)
    assert (len(whole.episodes), whole.refused) == (6, 0)
    for contract in CONTRACTS:
        chosen = select(pairs, contract, "episodes", TOKENIZER, limit - 1)
        assert seeds(chosen.episodes) == [1, 2, 5, 7, 9]
        assert (chosen.refused, chosen.cut) == (1, 0)
    assert select(pairs, "mixed", "tokens", TOKENIZER, limit - 1).refused == 1


def test_nothing_that_fits_is_told(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"none of the 6 pairs fits into 10 tokens \(the shortest"):
        select(read_pairs(folder), "persistent", "episodes", TOKENIZER, 10)


@pytest.mark.parametrize("template", [QWEN_LIKE, ""], ids=["without markers", "none at all"])
def test_a_template_without_markers_is_refused(folder: Path, template: str) -> None:
    tokenizer: PreTrainedTokenizerFast = make_tokenizer(template=template)
    with pytest.raises(UsageError, match=r"no generation markers; train with okrt\.models"):
        select(read_pairs(folder), "persistent", "episodes", tokenizer)


def test_a_template_that_cannot_be_trained_on_is_told_as_a_mistake(folder: Path) -> None:
    template = "{% for m in messages %}{% generation %}{{ m.content | trim }}{% endgeneration %}"
    tokenizer = make_tokenizer(template=template + "<|im_end|>{% endfor %}")
    pairs = wordy(read_pairs(folder), "stateless", " ")
    with pytest.raises(UsageError, match="does not keep each reply"):
        select(pairs, "persistent", "episodes", tokenizer)


def test_filters_and_players_reach_the_settings(tmp_path: Path) -> None:
    collect(tmp_path, plan(2, filters=Filters(min_score=0.0), players={"stateless": Player(2)}))
    settings = read_pairs(tmp_path).settings
    assert settings.filters.min_score == 0
    assert re.fullmatch("stateless", settings.models["stateless"].label)
