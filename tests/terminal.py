"""A terminal to test against: a pseudo-terminal, and what would stand on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TextIO

_PART = re.compile(
    r"\x1b\[([\d;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b([78D])|(.)", re.S
)


class Screen:
    """The rows of a terminal, as far as okrt and pytest move about on it."""

    def __init__(self, rows: int, columns: int) -> None:
        self._rows, self._columns = rows, columns
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._saved = (0, 0)

    def feed(self, text: str) -> Screen:
        """Shows a text. Raises ValueError: it holds what this terminal does not know."""
        for part in _PART.finditer(text):
            number, command, escape, character = part.groups()
            if command:
                self._move(int(number or 0) if number.isdigit() or not number else 0, command)
            elif escape == "7":
                self._saved = (self._row, self._column)
            elif escape == "8":
                self._row, self._column = self._saved
            elif escape == "D" or character == "\n":
                self._down()
            elif character == "\r":
                self._column = 0
            elif character:
                self._put(character)
        return self

    @property
    def lines(self) -> list[str]:
        """The rows from the top to the last that holds anything."""
        return "\n".join("".join(row).rstrip() for row in self._cells).rstrip().split("\n")

    def _move(self, number: int, command: str) -> None:
        match command:
            case "A":
                self._row = max(0, self._row - (number or 1))
            case "B":
                self._row = min(self._rows - 1, self._row + (number or 1))
            case "K":
                self._erase(self._row)
            case "J":
                self._erase(self._row)
                self._cells[self._row + 1 :] = [
                    [" "] * self._columns for _ in self._cells[self._row + 1 :]
                ]
            case "m":
                pass
            case _:
                raise ValueError(f"what is \\x1b[{number}{command}?")

    def _erase(self, row: int) -> None:
        self._cells[row][self._column :] = [" "] * (self._columns - self._column)

    def _down(self) -> None:
        if self._row == self._rows - 1:
            self._cells = [*self._cells[1:], [" "] * self._columns]
        else:
            self._row += 1

    def _put(self, character: str) -> None:
        if self._column == self._columns:
            self._column = 0
            self._down()
        self._cells[self._row][self._column] = character
        self._column += 1


@contextmanager
def terminal(columns: int = 100) -> Iterator[tuple[TextIO, list[str]]]:
    """Gives a stream that is a terminal, and what was written to it, once it is left."""
    ours, theirs = pty.openpty()
    _resize(theirs, 24, columns)
    seen: list[bytes] = []
    reader = Thread(target=_drain, args=(ours, seen), daemon=True)
    reader.start()
    written: list[str] = []
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        yield stream, written
    reader.join()
    os.close(ours)
    written.append(b"".join(seen).decode().replace("\r\n", "\n"))


def run_in_terminal(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    rows: int = 24,
    columns: int = 100,
) -> tuple[int, str]:
    """Runs a command in a terminal; returns its status and all it wrote."""
    ours, theirs = pty.openpty()
    _resize(theirs, rows, columns)
    seen: list[bytes] = []
    reader = Thread(target=_drain, args=(ours, seen), daemon=True)
    reader.start()
    found = subprocess.run(
        command, cwd=folder, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return found.returncode, b"".join(seen).decode()


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _drain(terminal: int, seen: list[bytes]) -> None:
    while True:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # nobody has the other end any more
            return
        if not data:
            return
        seen.append(data)
