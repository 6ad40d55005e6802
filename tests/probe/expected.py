"""What each target is expected to keep, law by law: the table that the probe is held to.

A letter for a finding: K kept, L lost, l leaked, c contained, S shown, H hidden, E enforced, N none
seen, Y yes, n no, W whole, X cut, - not observable, . not asked.
"""

from __future__ import annotations

LETTERS = {
    "K": "kept", "L": "lost", "l": "leaked", "c": "contained", "S": "shown", "H": "hidden",
    "E": "enforced", "N": "none seen", "Y": "yes", "n": "no", "W": "whole", "X": "cut",
    "-": "not observable",
}  # fmt: skip

TARGETS = (
    "jupyter", "fresh", "REPL", "loop", "smolagents", "mcp keeps", "mcp forgets", "persistent",
    "stateless", "files", "carryover",
)  # fmt: skip

EXPECTED = """
between blocks: variables                        | K L K K K K L K L L L
between blocks: functions                        | K L K K K K L K L L L
between blocks: classes                          | K L K K K K L K L L L
between blocks: imports                          | K L K K K K L K L L L
between blocks: attributes of modules            | K L K K L K K K L L L
between blocks: random state                     | K L K K K K K L L L L
between blocks: environment variables            | K L K K - K K K L L L
between blocks: files in the working directory   | K K K K - K K K L K L
between blocks: temporary files                  | K K K K - K K K L K L
between blocks: the working directory            | K L K K - K K K L L L
between blocks: open files                       | K L K K - K K K L L L
between blocks: threads                          | K L K K - K K K L L L
between blocks: variables, many blocks later     | K L K K K K L K L L L
between blocks: a reset now and then             | N N N N N N N N N N N
after an error: variables of earlier blocks      | K L K K K K L K L L L
after an error: variables bound before the error | K L K K K K L K L L L
in the answer: output before an error            | S S S S S S S S S S S
in the answer: type of an error                  | S S S S H S S S S S S
in the answer: which name is missing             | S S S S S S S S S S S
in the answer: a misspelt name is an error       | Y Y Y Y n Y Y Y Y Y Y
in the answer: standard error                    | S S S S - S S S S S S
in the answer: value of a last expression        | S H H H H H H H H H H
in the answer: long output                       | W W W W X W W X X X X
between sessions: variables                      | c c c c c c c c c c c
between sessions: attributes of modules          | c c c c c c l c c c c
between sessions: environment variables          | c c c c - c l c c c c
between sessions: files in the working directory | l l l l - l l c c c c
between sessions: temporary files                | l l l l - l l c c c c
past a tool-call cap: variables of that block    | . . . . . . . K L L K
past a tool-call cap: one block later            | . . . . . . . K L L L
past a time limit: a limit of the target's own   | N N N N N N N E E E E
past a time limit: the session goes on           | Y Y Y Y Y Y Y Y Y Y Y
past a time limit: variables of earlier blocks   | K L K L K K L L L L L
closing: ends when it is closed                  | Y Y Y Y Y Y Y Y Y Y Y
"""
"""`mcp keeps` is asked over pipes, which give each session a server; `mcp forgets` over HTTP, where
all sessions share one. An interrupt ends the plain loop, but neither the REPL nor the kernel. Of
`persistent`, a random state is not kept by intent: it is drawn anew for each block."""

VERDICTS = {
    "jupyter": "persistent",
    "fresh": "stateless",
    "REPL": "persistent",
    "loop": "persistent",
    "smolagents": "persistent",
    "mcp keeps": "persistent",
    "mcp forgets": "stateless",
    "persistent": "persistent",
    "stateless": "stateless",
    "files": "stateless",
    "carryover": "stateless",
}


def expected(target: str) -> dict[str, str]:
    """Returns the finding that each law should make on a target."""
    column = TARGETS.index(target)
    rows = (line.split("|") for line in EXPECTED.strip().splitlines())
    found = {law.strip(): letters.split()[column] for law, letters in rows}
    return {law: LETTERS[letter] for law, letter in found.items() if letter != "."}
