"""Cases of the counting family that take no time."""

from __future__ import annotations

import re

from okrt.models.scripted import ScriptedModel
from okrt.run import Case
from okrt.runtimes.contracts import STATELESS
from okrt.types import Conversation, ModelCard, Settings
from tests.toys import FAMILY, block


def play(conversation: Conversation) -> str:
    target = re.findall(r"Count to (\d+)", conversation.messages[0].content)[0]
    return block(f"add({target})", "finish()")


def toy_case(seed: int) -> Case:
    card = ModelCard("toy", "toy", "scripted")
    model = ScriptedModel("toy", play)
    return Case(FAMILY, FAMILY.task(seed, "low"), STATELESS, card, model, Settings())
