"""A block imports the packages it is allowed, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from okrt.errors import RuntimeFailure
from okrt.runtimes.contracts import STATELESS
from okrt.runtimes.host import ZygoteRuntime
from okrt.runtimes.packages import roots
from okrt.runtimes.remedies import closed_folder
from okrt.types import Limits
from tests.runtimes.conftest import playing

USE = "import numpy; print(numpy.arange(3).sum(), numpy.__version__ != '')"


@pytest.mark.parametrize("name", ["T0", "T1"])
def test_an_allowed_package_can_be_imported_and_others_cannot(name: str, tier: str) -> None:
    if tier != name:
        return
    runtime = ZygoteRuntime(packages=["numpy"], tier="T0" if name == "T0" else "T1")
    if name == "T0" and os.geteuid() == 0 and any(map(closed_folder, _paths(["numpy"]))):
        with pytest.raises(RuntimeFailure, match=r"on T0: it lies under .* install it where"):
            runtime.open(STATELESS, {}, Limits())
        return
    with runtime:
        used, other, write, neighbour = playing(runtime)(
            USE,
            "import hypothesis",
            "import numpy; open(numpy.__file__, 'a')",
            "import numpy, os; os.listdir(os.path.dirname(os.path.dirname(\n"
            "    os.path.realpath(numpy.__file__))) + '/hypothesis')",
            contract=STATELESS,
            limits=Limits(memory_mib=1024),
        )
    assert used.stdout == "3 True\n", used.error
    assert other.error_type == "ModuleNotFoundError"
    assert write.error_type in ("PermissionError", "OSError")
    assert neighbour.error_type in ("PermissionError", "FileNotFoundError")


def _paths(packages: list[str]) -> list[Path]:
    return [Path(path) for path in roots(packages).values()]


def test_no_package_can_be_imported_unless_it_is_allowed(runtime: ZygoteRuntime) -> None:
    (block,) = playing(runtime)("import numpy")
    assert block.error_type == "ModuleNotFoundError"


def test_an_unknown_package_is_refused_in_one_line() -> None:
    for name in ("no_such_package", "not a name", "numpy.linalg"):
        with pytest.raises(RuntimeFailure, match=f"offer package '{name}'"):
            ZygoteRuntime(packages=[name])


def test_a_package_brings_what_was_installed_with_it() -> None:
    found = roots(["numpy"])
    assert "numpy" in found
    assert any(name.endswith(".dist-info") for name in found)
    assert all(Path(path).exists() for path in found.values())
    assert roots([]) == {}


def test_a_module_of_one_file_is_a_package_too() -> None:
    assert next(iter(roots(["typing_extensions"]))) == "typing_extensions.py"
