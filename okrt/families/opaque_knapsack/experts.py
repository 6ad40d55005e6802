"""Scripted agents: pure functions of a conversation, each in the idiom of one contract.

They check the harness and show what a contract costs; they are no evidence about models. All but
the control play alike: inspect until the budget is spent, try to take by falling value/weight (a
refused take is free), try the rest blindly, finish. They differ in how a block gets at what earlier
blocks found: by name, or as literals copied from the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from okrt.families.opaque_knapsack.memory import Memory, recall
from okrt.types import Conversation

RECOVERIES = ("rebuild", "retry", "give_up")

LIST = """\
import json

items = json.loads(list_items())
print(*items)"""
KEEP_EACH = """\
for item in items[{}:{}]:
    seen[item] = json.loads(inspect(item))
    print(item, *seen[item].values())"""
HELPER = """\
def take(batch):
    for item in batch:
        try:
            print(item, take_item(item))
        except ToolError as error:
            print(item, "refused:", error)"""
ORDER = """\
order = sorted(seen, key=lambda item: seen[item]["value"] / seen[item]["weight"], reverse=True)
order += [item for item in items if item not in seen]"""
SHOW_EACH = """\
for item in {}:
    print(item, *json.loads(inspect(item)).values())"""
RANK = """\
rows = [line.split() for line in results.strip().splitlines()]
rows.sort(key=lambda row: int(row[2]) / int(row[3]), reverse=True)
order = [row[0] for row in rows]"""
TAKE_EACH = """\
for item in {}:
    try:
        print(item, take_item(item))
    except ToolError as error:
        print(item, "refused:", error)"""


def expert(name: str, recovery: str = "rebuild") -> Callable[[Conversation], str]:
    """Returns the expert: a function from a conversation to the assistant's reply.

    Args:
        name: `persistent`, `stateless`, or `no-inspection`, the negative control.
        recovery: what it does once a block has ended in a NameError. `rebuild`: goes on from what
            the conversation says; `retry`: repeats the block; `give_up`: forgets what it learned
            and takes the items blindly in list order. The control never has such a loss.

    Raises:
        ValueError: the name or the recovery is unknown.
    """
    if name not in EXPERTS:
        raise ValueError(f"unknown expert {name!r}; known: {', '.join(EXPERTS)}")
    if recovery not in RECOVERIES:
        raise ValueError(f"unknown recovery {recovery!r}; known: {', '.join(RECOVERIES)}")
    step = EXPERTS[name]

    def reply(conversation: Conversation) -> str:
        memory = recall(conversation)
        if memory.lost and recovery == "retry":
            return memory.last_reply
        if memory.stalled or (memory.facts.items and not memory.to_try):
            thought, code = "Nothing is left to do. I finish.", "finish()"
        elif memory.ever_lost and recovery == "give_up":
            thought, code = _blind_step(memory)
        else:
            thought, code = step(memory)
        opening, close = ("<code>", "</code>") if memory.code_tags else ("```python", "```")
        return f"{thought}\n{opening}\n{code}\n{close}"

    return reply


def _persistent_step(memory: Memory) -> tuple[str, str]:
    """Returns thought and code; the code counts on the names of earlier blocks unless just lost."""
    facts, cap = memory.facts, memory.cap
    if not facts.items:
        first = min(memory.budget, cap - 1)
        looks = ["\n", KEEP_EACH.format(0, first)] if first else []
        thought = "I list the items, look at the first ones and keep the results in variables."
        return thought, "\n".join([LIST, "seen = {}", "\n", HELPER, *looks])
    thought = "My variables are gone, so I set them up again. " if memory.lost else ""
    code = [_rebuild(memory)] if memory.lost else []
    if memory.to_inspect:
        start = facts.items.index(memory.to_inspect[0])
        code.append(KEEP_EACH.format(start, min(start + cap, memory.budget)))
        return thought + "I look at more items.", "\n".join(code)
    if memory.lost or not facts.tried:
        code.append(ORDER)
    start = memory.order.index(memory.to_try[0])
    code.append(f"take(order[{start}:{start + cap}])")
    if start + cap > len(memory.order):
        code.append("finish()")
    return thought + "I try items by value per weight, those not looked at last.", "\n".join(code)


def _rebuild(memory: Memory) -> str:
    """Returns code that sets up the names of the first block with all that was found since."""
    seen = [
        f'    "{item}": {{"class": "{found.letter}", "value": {found.value}, '
        f'"weight": {found.weight}}},'
        for item, found in memory.facts.seen.items()
    ]
    items = f"items = {_split(memory.facts.items)}"
    return "\n".join(["import json\n", items, "seen = {", *seen, "}\n\n", HELPER, "\n"])


def _stateless_step(memory: Memory) -> tuple[str, str]:
    """Returns thought and code; the code holds as literals whatever it needs of earlier results."""
    facts, cap = memory.facts, memory.cap
    if not facts.items:
        first = min(memory.budget, cap - 1)
        looks = [SHOW_EACH.format(f"items[:{first}]")] if first else []
        return "I list the items and look at the first ones.", "\n".join([LIST, *looks])
    if memory.to_inspect:
        batch = _split(memory.to_inspect[:cap])
        return "I look at more items.", "import json\n\n" + SHOW_EACH.format(batch)
    table = [
        f"{item} {found.letter} {found.value} {found.weight}"
        for item, found in facts.seen.items()
        if item not in facts.tried
    ]
    if not table:
        return _blind_step(memory)
    others = [item for item in memory.to_try if item not in facts.seen]
    code = ['results = """', *table, '"""', RANK]
    if others:
        code.append(f"order += {_split(others)}")
    code.append(TAKE_EACH.format(f"order[:{cap}]"))
    if len(memory.to_try) < cap:
        code.append("finish()")
    thought = "I copy the results still open and try them by value per weight, unknown items last."
    return thought, "\n".join(code)


def _blind_step(memory: Memory) -> tuple[str, str]:
    """Returns thought and code that takes in list order and needs no name of an earlier block."""
    facts, cap = memory.facts, memory.cap
    if not facts.items:
        takes = [TAKE_EACH.format(f"items[:{cap - 1}]")] if cap > 1 else []
        return "I list the items and take what I can get.", "\n".join([LIST, *takes])
    left = [item for item in facts.items if item not in facts.tried]
    code = [TAKE_EACH.format(_split(left[:cap]))]
    if len(left) < cap:
        code.append("finish()")
    return "I try the next items without looking at them.", "\n".join(code)


def _split(items: Iterable[str]) -> str:
    return f'"{" ".join(items)}".split()'


EXPERTS: dict[str, Callable[[Memory], tuple[str, str]]] = {
    "persistent": _persistent_step,
    "stateless": _stateless_step,
    "no-inspection": _blind_step,
}
