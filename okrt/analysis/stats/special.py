"""scipy's special functions, imported when the first of them is called.

`import scipy.special` takes 0.3 s of CPU, where `okrt --help` takes 0.5 s in all, and most commands
compute no interval. scipy.stats, which takes another second, is imported nowhere: what would be
taken from it is a line or two of these.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def special() -> Any:
    """Returns the module scipy.special."""
    from scipy import special as module  # type: ignore[import-untyped]  # scipy ships no types

    return module
