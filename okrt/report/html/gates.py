"""What a run's gates.json says, as HTML. Pure; whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from okrt.report.html.markup import Markup, element

SCHEMA = 1
MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "incomplete": "…"}
NO_MARK = "-"
NOTHING_DECIDED = "Nothing was decided: this run was judged by no gates."


def verdict(gates: Mapping[str, Any] | None) -> Markup:
    """Returns the verdict with the gates behind it; None is a run without gates."""
    if gates is None:
        return _banner("none", NO_MARK, NOTHING_DECIDED)
    if gates.get("schema") != SCHEMA:
        told = f"gates.json is of schema {gates.get('schema')}, which this version cannot read"
        return _banner("none", NO_MARK, f"The verdict is not shown: {told}.")
    word = str(gates.get("verdict", "unknown"))
    words = str(gates.get("words") or "no reason is given")
    said = words if words.startswith(word) else f"{word}: {words}"
    parts = [_banner(word, MARKS.get(word, NO_MARK), said), *_from(gates)]
    if lines := _texts(gates.get("incomplete")):
        parts.append(element("ul", *(element("li", line) for line in lines)))
    for kind in ("conditions", "gates"):
        if found := [one for one in _list(gates.get(kind)) if isinstance(one, Mapping)]:
            parts.append(_gates(found) if kind == "gates" else _conditions(found))
    return Markup("\n".join(parts))


def _banner(word: str, mark: str, text: str) -> Markup:
    kind = word if word in MARKS else "none"
    sign = element("span", mark, class_="sign", aria_hidden="true")
    return element("p", sign, element("strong", text), class_=f"verdict {kind}")


def _from(gates: Mapping[str, Any]) -> Iterable[Markup]:
    """Of which file, and against which baseline."""
    base = gates.get("baseline")
    told = []
    if gates.get("file"):
        told.append(f"Gates: {gates['file']} (SHA-256 {str(gates.get('file_digest'))[:12]}).")
    if isinstance(base, Mapping):
        run = base.get("run")
        made = run.get("created") if isinstance(run, Mapping) else run
        told.append(f"Baseline: {base.get('name')} (run {made or 'not recorded'}).")
    return [element("p", " ".join(told), class_="muted")] if told else []


def _conditions(conditions: Iterable[Mapping[str, Any]]) -> Markup:
    rows = [
        [_marked(one), str(one.get("name")), str(one.get("reason") or "")] for one in conditions
    ]
    return grid("Conditions of a verdict", ["verdict", "condition", "reason"], rows)


def _gates(gates: Iterable[Mapping[str, Any]]) -> Markup:
    rows = [
        [
            _marked(one), str(one.get("name")), _cell(one), _value(one), _limit(one),
            str(one.get("reason") or ""), str(one.get("why") or ""),
        ]
        for one in gates
    ]  # fmt: skip
    heads = ["verdict", "gate", "cell", "found", "limit", "reason", "why this limit"]
    return grid("Gates", heads, rows)


def grid(caption: str, heads: Iterable[str], rows: Iterable[Iterable[str]], of: str = "") -> Markup:
    """Returns a table that scrolls by itself where it is wider than the page; `of` tells it from
    others with its caption."""
    head = element("tr", *(element("th", text, scope="col") for text in heads))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    table = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body)
    )
    label = f"{caption}: {of}" if of else caption
    return element("div", table, class_="scroll", role="region", aria_label=label, tabindex="0")


def _marked(one: Mapping[str, Any]) -> Markup:
    word = str(one.get("verdict", "unknown"))
    kind = word if word in MARKS else "none"
    return element("span", f"{MARKS.get(word, NO_MARK)} {word}", class_=f"word {kind}")


def _cell(one: Mapping[str, Any]) -> str:
    named = [one.get(part) for part in ("model", "runtime", "tier")]
    text = ", ".join(str(part) for part in named if part is not None) or "all"
    return f"{text}, against {one['against']}" if one.get("against") else text


def _limit(one: Mapping[str, Any]) -> str:
    kind = str(one.get("kind") or "").replace("_", " ")
    return f"{one.get('metric')} {kind} {_number(one.get('limit'))}".strip()


def _value(one: Mapping[str, Any]) -> str:
    if one.get("value") is None:
        return "not measured"
    low, high = one.get("low"), one.get("high")
    if low is None and high is None:
        return _number(one["value"])
    level = one.get("level")
    said = f", {100 * level:g}%" if isinstance(level, int | float) else ""
    ends = f"[{_number(low)}, {_number(high)}]"
    return f"{_number(one['value'])} {ends} (n = {one.get('n')}{said})"


def _number(value: Any) -> str:
    if value is None:
        return "…"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [str(one) for one in _list(value)]
