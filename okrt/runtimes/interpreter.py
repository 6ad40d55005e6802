"""An interpreter gets ready for blocks: what runs them is loaded, nothing else of ours is seen.

Runs in the sandbox: standard library only.
"""

from __future__ import annotations

import builtins
import importlib.util
import site
import sys
from types import ModuleType


def prepare() -> ModuleType:
    """Returns the module `worker`, and with it what it imports of ours, on a copy of the builtins
    that no block can patch."""
    sys.argv = [""]
    kept = dict(vars(builtins))
    for name in ("frames", "describing", "worker"):
        whole = f"okrt.runtimes.{name}"
        spec = importlib.util.find_spec(whole)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[whole] = ModuleType(whole)
        module.__dict__["__builtins__"] = kept
        exec(spec.loader.get_code(whole), module.__dict__)  # type: ignore[attr-defined]  # noqa: S102
    for name in [name for name in sys.modules if name.partition(".")[0] == "okrt"]:
        del sys.modules[name]
    site.setquit()  # -S left out `exit` and `quit`, which models do call
    return module
