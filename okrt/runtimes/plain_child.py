"""A process of the tier `none`: on any Unix, with nothing that keeps a block in.

Run by path in an interpreter of its own, `python -s -S -P plain_child.py WIRE MEMORY_MIB CPU_S
PACKAGES`: its output goes to descriptors 1 and 2, its scratch directory is the current one, and
PACKAGES a directory to import from, or empty. It imports the standard library and the files beside
it that do likewise.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

if __name__ == "__main__":  # for as long as it takes to import the files beside this one
    sys.path.insert(0, __file__.rpartition("/okrt/")[0])  # pathlib takes a fifth of the start
from okrt.runtimes import child, interpreter

if __name__ == "__main__":
    del sys.path[0]


def main() -> NoReturn:
    wire, memory_mib, cpu_s = map(int, sys.argv[1:4])
    sys.path += sys.argv[4:5] if sys.argv[4] else []
    os.set_inheritable(wire, False)
    os.umask(0o077)
    worker = interpreter.prepare()
    for kind, value in child.limits(memory_mib).items():
        with contextlib.suppress(OSError, ValueError):  # macOS bounds no address space
            child.limit(kind, value)
    os.write(wire, worker.pack({"type": "ready"}))
    try:
        worker.serve(wire, os.dup(1), cpu_s)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
