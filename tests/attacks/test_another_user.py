"""The attacks as another user: run by root, they are run once more by a user who owns nothing.

Root's blocks run as users of their own, so permissions alone keep them from the host's files; the
blocks of anybody else run as that very user, and the sandbox alone does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534
SAMPLE = (
    "reading or writing or processes or network or kernel or answers or memory or files or scratch"
)
"""The parts whose outcome may depend on the user; the whole set: `OKRT_ATTACK_USERS=all`."""
WHOLE = os.environ.get("OKRT_ATTACK_USERS") == "all"


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def _interpreter() -> str | None:
    """Returns an interpreter of this version that every user can run: this one, or the system's."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    system = shutil.which(version, path="/usr/local/bin:/usr/bin:/bin")
    candidates = [sys.executable, *([system] if system else [])]
    return next((path for path in candidates if _open_to_all(Path(path))), None)


@pytest.mark.thorough
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_attacks_fail_for_another_user_as_well() -> None:
    interpreter = _interpreter()
    assert interpreter, (
        f"{sys.executable} lies under a home that is closed to others, and there is no system "
        f"Python {sys.version_info.major}.{sys.version_info.minor}: install one, or run "
        "`pytest tests/attacks` as another user"
    )
    with tempfile.TemporaryDirectory(prefix="okrt-nobody-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("okrt", "pytest_okrt", "tests", "pyproject.toml"):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        packages = _packages(folder)
        subprocess.run(["chmod", "-R", "a+rX", name], check=True)
        found = subprocess.run(
            [interpreter, "-m", "pytest", "tests/attacks", *_arguments()],
            cwd=name,
            env=_environment(folder, packages),
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
        )
    assert found.returncode == 0, found.stdout[-10_000:] + found.stderr[-2000:]
    for line in found.stdout.splitlines():
        if "not measured" in line:
            warnings.warn(f"as user {NOBODY}: {line.strip()}", stacklevel=1)
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed
    assert int(passed[1]) > 60


def _arguments() -> list[str]:
    plain = ["-q", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return [*plain, "-k", "not another_user" if WHOLE else f"({SAMPLE}) and not another_user"]


LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "torch*", "functorch", "transformers", "trl", "peft", "datasets", "accelerate",
    "scipy*", "pandas*", "pyarrow*", "sympy", "networkx", "mypy*", "ruff*", "*virtualenv*",
)  # fmt: skip
"""Packages that no attack imports and that are large to copy."""


def _packages(folder: Path) -> list[Path]:
    """Returns where the other user finds this interpreter's packages: there, or copied."""
    places = sorted({Path(entry) for entry in sys.path if entry.endswith("site-packages")})
    if all(_open_to_all(place / "any") for place in places):
        return places
    copied = folder / "packages"
    for place in places:
        shutil.copytree(place, copied, ignore=LEFT_OUT, dirs_exist_ok=True)
    return [copied]


def _environment(folder: Path, packages: list[Path]) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(folder), *map(str, packages)]),
    }
