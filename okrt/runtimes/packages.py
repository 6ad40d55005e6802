"""Which directories and files of the host's environment a package is."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from okrt.errors import RuntimeFailure


def roots(packages: Sequence[str]) -> dict[str, str]:
    """Returns what has to be readable for these packages to be importable, path by entry name.

    With a package comes what its distribution installed beside it (`numpy.libs`, the metadata), but
    not what it depends on: that has to be named as well.

    Raises:
        RuntimeFailure: this environment has no such package.
    """
    found: dict[str, str] = {}
    owners = metadata.packages_distributions() if packages else {}
    for package in packages:
        found |= _own(package)
        for owner in owners.get(package, ()):
            for file in metadata.distribution(owner).files or ():
                top = file.parts[0]
                if not top.startswith((".", "__")) and len(file.parts) > 1:
                    path = Path(str(metadata.distribution(owner).locate_file(top))).resolve()
                    if path.exists():
                        found.setdefault(top, str(path))
    return found


def _own(package: str) -> dict[str, str]:
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or spec.origin in (None, "built-in", "frozen"):
        raise RuntimeFailure(
            f"the sandbox cannot offer package {package!r}: this environment has none of that "
            "import name; install it or leave it out"
        )
    path = Path(str(spec.origin)).resolve()
    if spec.submodule_search_locations:
        return {package: str(path.parent)}
    return {path.name: str(path)}
