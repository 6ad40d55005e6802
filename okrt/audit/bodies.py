"""The outermost level of a block, and what the bodies in it do to its names.

What a function reads counts where the block first uses its name, and so do a class's methods; a
class's own body, a nested function and a lambda without a name count where they stand.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from okrt.analysis.defuse import Scope
from okrt.audit.scopes import Function, Seer, arguments
from okrt.audit.shields import STRENGTH, Read, Shield


@dataclass(frozen=True, slots=True)
class _Event:
    """A read or a binding of a global name within a body."""

    name: str
    line: int
    shield: Shield
    binds: bool = False


class Module(Seer):
    """The block's own scope."""

    def __init__(self, lazy_annotations: bool) -> None:
        super().__init__(lazy_annotations)
        self.reads: dict[str, Read] = {}
        self.left: set[str] = set()
        self.deleted: set[str] = set()
        self._bodies: dict[str, list[_Event]] = {}

    def read(self, name: str, node: ast.AST) -> None:
        super().read(name, node)
        self._note(_Event(name, getattr(node, "lineno", 0), self.shield_of(name)))

    def _note(self, event: _Event) -> None:
        if event.name not in self.bound:
            known = self.reads.get(event.name)
            if known is None or STRENGTH[event.shield] < STRENGTH[known.shield]:
                self.reads[event.name] = Read(event.name, event.line, event.shield)
        self._replay(self._bodies.pop(event.name, []), event.shield)

    def _replay(self, events: Iterable[_Event], shield: Shield = "none") -> None:
        """Has happen what a body does, at the place where the block uses it."""
        for event in events:
            stronger = max(event.shield, shield, key=STRENGTH.__getitem__)
            if event.binds:
                self.bind(event.name)
            else:
                self._note(_Event(event.name, event.line, stronger))

    def bind(self, name: str) -> None:
        super().bind(name)
        self.left.add(name)
        self.deleted.discard(name)
        self._bodies.pop(name, None)

    def unbind(self, name: str) -> None:
        super().unbind(name)
        self.left.discard(name)

    def visit_Name(self, node: ast.Name) -> None:
        super().visit_Name(node)
        if isinstance(node.ctx, ast.Del):
            self.unbind(node.id)
            self.deleted.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        """`f = lambda: ...` is a function called f."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
                self.visit(function.args)
                self.bind(name)
                self.body(function, name)
            case _:
                super().visit_Assign(node)

    def body(self, node: Function, name: str | None) -> None:
        events, hidden = _events(node, frozenset(), self.lazy, self.depth)
        self.hidden |= hidden
        self.left.update(event.name for event in events if event.binds)
        if name is None:
            self._replay(events, self.shield)
        else:
            self._bodies[name] = events

    def class_body(self, node: ast.ClassDef) -> None:
        body = _ClassBody(frozenset(), self.lazy, self.depth)
        body.visit_all(*node.body)
        self.hidden |= body.hidden
        self._replay(body.events, self.shield)
        self.left.update(event.name for event in body.later if event.binds)
        self.bind(node.name)
        self._bodies[node.name] = body.later


class _Body(Seer):
    """The body of a function: its events in order. A nested function counts where it is defined."""

    def __init__(self, outer: frozenset[str], lazy_annotations: bool, depth: int) -> None:
        super().__init__(lazy_annotations, depth)
        self.outer = outer
        self.events: list[_Event] = []

    def read(self, name: str, node: ast.AST) -> None:
        super().read(name, node)
        if name in self.declared or (name not in self.bound and name not in self.outer):
            line = getattr(node, "lineno", 0)
            self.events.append(_Event(name, line, self.shield_of(name)))

    def bind(self, name: str) -> None:
        if name in self.declared:
            self.events.append(_Event(name, 0, "none", binds=True))
        else:
            super().bind(name)

    def body(self, node: Function, name: str | None) -> None:
        events, hidden = _events(node, self.outer | self.bound, self.lazy, self.depth)
        self.hidden |= hidden
        self.events += events

    def class_body(self, node: ast.ClassDef) -> None:
        body = _ClassBody(self.outer | self.bound, self.lazy, self.depth)
        body.visit_all(*node.body)
        self.hidden |= body.hidden
        self.events += body.events + body.later
        self.bind(node.name)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """A function's own variables: their annotations are never evaluated."""
        self.visit_all(node.value)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)


class _ClassBody(_Body):
    """The body of a class, run where it stands; `later` is what its methods do."""

    def __init__(self, outer: frozenset[str], lazy_annotations: bool, depth: int) -> None:
        super().__init__(outer, lazy_annotations, depth)
        self.later: list[_Event] = []

    def body(self, node: Function, name: str | None) -> None:
        events, hidden = _events(node, self.outer, self.lazy, self.depth)
        self.hidden |= hidden
        self.later += events

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        Seer.visit_AnnAssign(self, node)


def _events(
    node: Function, outer: frozenset[str], lazy: bool, depth: int
) -> tuple[list[_Event], set[str]]:
    """Returns what a body does to global names when it is called, and what hides names in it."""
    statements: Sequence[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else node.body
    own = _Own(depth)
    own.visit_all(*statements)
    body = _Body(outer - own.globals, lazy, depth)
    body.bound |= {argument.arg for argument in arguments(node.args)}
    body.bound |= own.bound - own.globals - own.nonlocals
    body.visit_all(*statements)
    return body.events, body.hidden


class _Own(Scope):
    """The names that a body binds for itself, and those that it declares to be another's."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()

    def visit_Global(self, node: ast.Global) -> None:
        self.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.nonlocals.update(node.names)
