"""Runs a program as a container's default profile would let it: `container.py DENIED PROGRAM ...`.

DENIED is `namespaces`, or `namespaces,landlock`. The former fails with EPERM for whoever asks, root
included; the latter as in the profiles that are older than Landlock.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys

NEW = 0x7E020080
"""The namespace flags of `clone`."""
NUMBERS = {
    "x86_64": {"clone": 56, "clone3": 435, "unshare": 272, "setns": 308, "mount": 165},
    "aarch64": {"clone": 220, "clone3": 435, "unshare": 97, "setns": 268, "mount": 40},
}
LANDLOCK = (444, 445, 446)
EPERM, ENOSYS = 0x00050001, 0x00050026
ALLOW = 0x7FFF0000


def program(denied: list[str]) -> bytes:
    numbers = NUMBERS[os.uname().machine]
    lines = [(0x20, 0, 0, 0)]
    for name in ("unshare", "setns", "mount"):
        lines += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, EPERM)]
    lines += [(0x15, 0, 1, numbers["clone3"]), (0x06, 0, 0, ENOSYS)]
    if "landlock" in denied:
        for number in LANDLOCK:
            lines += [(0x15, 0, 1, number), (0x06, 0, 0, EPERM)]
    lines += [(0x15, 0, 3, numbers["clone"]), (0x20, 0, 0, 16), (0x45, 0, 1, NEW)]
    lines += [(0x06, 0, 0, EPERM), (0x06, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


class Filter(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def main() -> None:
    code = program(sys.argv[1].split(","))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(Filter(len(code) // 8, code)), 0, 0) == 0
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
