"""What runs inside the sandbox brings nothing of the host's with it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import okrt.runtimes
from tests.runtimes.conftest import Play

HERE = Path(okrt.runtimes.__file__).parent


def ours(file: Path) -> set[str]:
    """The modules of okrt that a file imports; every other it imports is in the library."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "okrt.runtimes":
            names = [f"okrt.runtimes.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        else:
            continue
        for name in names:
            if name.startswith("okrt."):
                found.add(name)
            else:
                assert name.partition(".")[0] in sys.stdlib_module_names, (file.name, name)
    return found


def test_the_zygote_imports_the_library_and_files_that_do_likewise() -> None:
    waiting, seen = ["okrt.runtimes.zygote", "okrt.runtimes.worker"], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            assert name.startswith("okrt.runtimes.")
            waiting += ours(HERE / f"{name.rpartition('.')[2]}.py")
    assert "okrt.runtimes.isolation" in seen
    assert "okrt.runtimes.host" not in seen


def test_nothing_that_decides_is_in_the_memory_of_a_block(play: Play) -> None:
    (block,) = play(
        "import gc\n"
        "files = {f.__code__.co_filename for f in gc.get_objects() if hasattr(f, '__code__')}\n"
        "print(sorted(f.rpartition('/')[2] for f in files if '/okrt/' in f))"
    )
    inside = {
        "child.py", "describing.py", "frames.py", "isolation.py", "landlock.py", "namespaces.py",
        "nursery.py", "scratch.py", "seccomp.py", "syscalls.py", "worker.py", "zygote.py",
    }  # fmt: skip
    assert set(ast.literal_eval(block.stdout)) <= inside
