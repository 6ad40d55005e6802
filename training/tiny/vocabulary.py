"""The tiny model's tokenizer: whole words, no merges, any text goes to ids and back.

Words, runs of punctuation, newlines with their indent, pairs of hex digits of an id and decimal
ratios are one token each, so that what has to be copied is few tokens and each is met often. In
a dict, a ratio and the punctuation before it are one token, so that the three before an id name the
entry they end: with two there, one of two entries of the same ratio was taken for the other.
Line-level BPE left most of its tokens untrained. Texts outside the vocabulary fall to characters
and then to bytes. It decides what a token is, so it is fixed before any result is looked at.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from okrt.models.template import chat_template

PADDING, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
PIECES = "|".join(
    [
        "item_",
        "(?<=item_)[0-9a-f]{2}",
        "(?<=item_[0-9a-f]{2})[0-9a-f]{2}",
        r"': \d{1,2}\.\d(?!\d)",
        r"\d{1,2}\.\d(?!\d)",
        r"\d{1,2}",
        " ?[A-Za-z]+",
        r"\n *",
        r" ?[^\w\s]+(?: [^\w\s]+)* ?",
        r"[\s\S]",
    ]
)
HEX_PAIRS = [f"{number:02x}" for number in range(256)]
NUMBERS = [str(number) for number in range(100)]
RATIOS = [f"{number / 10:.1f}" for number in range(5, 201)]
"""Value per weight of the tier `micro`: 10 to 100 over 5 to 20."""
ENTRIES = [f"': {ratio}" for ratio in ["0.0", *RATIOS]]
"""How a ratio ends an entry of a dict."""
RAREST = 3
"""A piece enters the vocabulary if the texts hold it as often."""


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Returns a tokenizer whose words are the pieces of the texts, with okrt's chat template."""
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in split.pre_tokenize_str(text))
    words = sorted(piece for piece, count in counts.items() if count >= RAREST)
    byte_tokens = [f"<0x{number:02X}>" for number in range(256)]
    known = [*string.printable, *HEX_PAIRS, *NUMBERS, *RATIOS, *ENTRIES]
    pieces = [PADDING, START, END, *byte_tokens, *known]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*pieces, *words]))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], byte_fallback=True, ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens([PADDING, START, END])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PADDING,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = chat_template()
    return fast
