"""The tiers of isolation by name; `docs/sandbox.md` says what each promises.

Runs in the sandbox: standard library only.
"""

from __future__ import annotations

T0, T1, UNSAFE, NONE = "T0", "T1", "unsafe", "none"
