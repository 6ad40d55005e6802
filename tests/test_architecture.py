"""The import arrows of docs/architecture.md: one way, no circle, torch at two places alone."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ARROWS: dict[str, set[str]] = {
    "okrt.types": set(),
    "okrt.errors": set(),
    "okrt.redact": set(),
    "okrt.plan": {"okrt.types"},
    "okrt.progress": set(),
    "okrt.salt": {"okrt.types", "okrt.errors"},
    "okrt.asking": {"okrt.types", "okrt.errors"},
    "okrt.families": {"okrt.types", "okrt.errors"},
    "okrt.runtimes": {"okrt.types", "okrt.errors", "okrt.asking"},
    "okrt.models": {"okrt.types", "okrt.errors", "okrt.redact"},
    "okrt.parse": {"okrt.types", "okrt.errors"},
    "okrt.journal": {"okrt.errors"},
    "okrt.store": {"okrt.types", "okrt.errors", "okrt.journal"},
    "okrt.index": {"okrt.types", "okrt.errors", "okrt.plan", "okrt.store"},
    "okrt.analysis": {"okrt.types", "okrt.errors"},
    "okrt.prompts": {"okrt.types", "okrt.errors"},
    "okrt.episode": {"okrt.types", "okrt.asking", "okrt.parse", "okrt.prompts"},
    "okrt.run": {"okrt.types", "okrt.errors", "okrt.redact", "okrt.prompts", "okrt.episode"},
    "okrt.report": {
        "okrt.types", "okrt.errors", "okrt.redact", "okrt.plan", "okrt.parse", "okrt.progress",
        "okrt.analysis", "okrt.store", "okrt.index",
    },
    "okrt.merge": {
        "okrt.types", "okrt.errors", "okrt.plan", "okrt.store", "okrt.index", "okrt.analysis",
        "okrt.report",
    },
    "okrt.specs": {
        "okrt.types", "okrt.errors", "okrt.redact", "okrt.asking", "okrt.families", "okrt.models",
        "okrt.prompts", "okrt.runtimes", "okrt.run", "okrt.salt",
    },
    "okrt.testing": {
        "okrt.types", "okrt.errors", "okrt.asking", "okrt.runtimes", "okrt.run", "okrt.salt",
        "okrt.specs",
    },
    "okrt.baselines": {
        "okrt.types", "okrt.errors", "okrt.plan", "okrt.store", "okrt.index", "okrt.analysis",
        "okrt.progress", "okrt.report", "okrt.run",
    },
    "okrt.selection": {
        "okrt.types", "okrt.errors", "okrt.baselines", "okrt.gates", "okrt.index", "okrt.models",
        "okrt.plan", "okrt.prompts", "okrt.run", "okrt.salt", "okrt.specs", "okrt.store",
    },
    "okrt.engines": {
        "okrt.types", "okrt.errors", "okrt.analysis", "okrt.gates", "okrt.index", "okrt.models",
        "okrt.plan", "okrt.progress", "okrt.prompts", "okrt.redact", "okrt.report", "okrt.run",
        "okrt.runtimes", "okrt.salt", "okrt.selection", "okrt.specs", "okrt.store",
    },
    "okrt.gates": {
        "okrt.types", "okrt.errors", "okrt.analysis", "okrt.baselines", "okrt.plan", "okrt.report",
        "okrt.specs", "okrt.store",
    },
    "okrt.planning": {"okrt.errors", "okrt.analysis", "okrt.baselines", "okrt.gates"},
    "okrt.audit": {
        "okrt.types", "okrt.errors", "okrt.parse", "okrt.progress", "okrt.analysis",
    },
    "okrt.exports": {
        "okrt.types", "okrt.errors", "okrt.redact", "okrt.progress", "okrt.store", "okrt.plan",
        "okrt.index", "okrt.analysis", "okrt.models", "okrt.report",
    },
    "okrt.probe": {
        "okrt.types", "okrt.errors", "okrt.progress", "okrt.runtimes", "okrt.specs",
        "okrt.report",
    },
    "okrt.replay": {
        "okrt.types", "okrt.errors", "okrt.analysis", "okrt.index", "okrt.plan", "okrt.prompts",
        "okrt.report", "okrt.progress", "okrt.run", "okrt.runtimes", "okrt.specs", "okrt.store",
    },
    "okrt.fit": {"okrt.errors", "okrt.progress", "okrt.audit", "okrt.probe", "okrt.report"},
    "okrt.cli": {
        "okrt.types", "okrt.errors", "okrt.store", "okrt.analysis", "okrt.report", "okrt.specs",
        "okrt.runtimes", "okrt.audit", "okrt.probe", "okrt.fit", "okrt.merge", "okrt.redact",
        "okrt.engines", "okrt.baselines", "okrt.exports", "okrt.progress", "okrt.salt",
        "okrt.planning", "okrt.gates", "okrt.replay",
    },
    "pytest_okrt": {
        "okrt.types", "okrt.errors", "okrt.store", "okrt.analysis", "okrt.report", "okrt.specs",
        "okrt.run", "okrt.models", "okrt.plan", "okrt.progress", "okrt.runtimes", "okrt.redact",
        "okrt.selection", "okrt.engines", "okrt.gates",
    },
    "training": {
        "okrt.types", "okrt.errors", "okrt.store", "okrt.analysis", "okrt.specs", "okrt.run",
        "okrt.families", "okrt.models", "okrt.runtimes", "okrt.plan", "okrt.engines",
    },
}  # fmt: skip
"""What each room may import of okrt, besides itself. `docs/architecture.md` draws it."""

HEAVY = {"torch", "transformers", "peft", "trl", "accelerate", "datasets"}
CLIENT = {"openai", "httpx2"}
"""Imported where a server is asked, and nowhere else."""
HEAVY_ROOMS = (
    *(f"okrt.models.{name}" for name in ("local", "engine", "kv", "refeeding", "weights")),
    "training",
)

MODULES = sorted(
    path for room in ("okrt", "pytest_okrt", "training") for path in (ROOT / room).rglob("*.py")
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] != "okrt" else ".".join(parts[:2])


def imports_of(path: Path, run_time: bool = False) -> set[str]:
    """Every module that a file imports anywhere in it; at run time, not for type checkers alone."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    if run_time:
        tree.body = [n for n in tree.body if "TYPE_CHECKING" not in ast.unparse(n).split("\n")[0]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= below if node.module in ("okrt", "okrt.runtimes") else {node.module}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_along_the_arrows(path: Path) -> None:
    module = name_of(path)
    room = room_of(module)
    if module == "okrt":
        assert not imports_of(path)
        return
    for imported in imports_of(path):
        top = imported.partition(".")[0]
        if top in ("okrt", "pytest_okrt", "training", "tests", "benchmarks"):
            target = room_of(imported)
            assert target == room or target in ARROWS[room], f"{module} imports {imported}"
        elif top in HEAVY:
            assert module.startswith(HEAVY_ROOMS), f"{module} imports {imported}"
        elif top in CLIENT:
            assert module == "okrt.models.openai_server", f"{module} imports {imported}"
        elif top == "scipy":
            assert imported == "scipy", f"{module} imports {imported}"
            assert module == "okrt.analysis.stats.special", module
        elif top == "ray":
            assert module == "okrt.engines.ray", f"{module} imports {imported}"
        elif room in ("okrt.types", "okrt.errors", "okrt.redact"):
            assert top in sys.stdlib_module_names, f"{module} imports {imported}"


def test_the_drawn_plan_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(ARROWS):
        ready = {room for room, below in ARROWS.items() if room not in done and below <= done}
        assert ready, f"a circle among {set(ARROWS) - done}"
        done |= ready


def test_the_sandboxed_side_imports_the_standard_library_alone() -> None:
    """What the zygote imports, however far down: the standard library and its own neighbours."""
    waiting, seen = ["okrt.runtimes.zygote"], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        path = (ROOT / Path(*module.split("."))).with_suffix(".py")
        for imported in imports_of(path, run_time=True):
            if imported in sys.stdlib_module_names or imported.startswith("okrt.runtimes."):
                waiting += (
                    [imported] if imported.startswith("okrt") and imported not in seen else []
                )
            else:
                assert imported.partition(".")[0] in sys.stdlib_module_names, (
                    f"{module}: {imported}"
                )
    assert len(seen) > 3


def test_no_file_names_a_machine() -> None:
    suspicious = re.compile(r"(?<![\w}])/(work|root|home)/\w")
    for path in ROOT.rglob("*"):
        if path.suffix in {".py", ".md", ".toml", ".ini", ".txt", ".json", ".jinja"}:
            if any(part.startswith((".", "v")) for part in path.relative_to(ROOT).parts[:1]):
                continue
            text = path.read_text("utf-8")
            assert not suspicious.search(text), path
