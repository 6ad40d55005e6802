"""What the outermost level of a block and the bodies in it have in common.

Builds on the walk of `okrt.analysis.defuse`, which goes through one scope in the order of
evaluation; adds annotations, what shields a read and what hides names. Nothing is run.
"""

from __future__ import annotations

import ast

from okrt.analysis.defuse import Scope, imported
from okrt.audit.shields import STRENGTH, Shield, caught, is_table, suppresses

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Seer(Scope):
    """Follows one scope; what is done about a body, a subclass says."""

    def __init__(self, lazy_annotations: bool, depth: int = 0) -> None:
        super().__init__()
        self.depth = depth
        self.hidden: set[str] = set()
        self.declared: set[str] = set()
        self.lazy = lazy_annotations
        self.shield: Shield = "none"
        self._checked: set[str] = set()

    # -- what a subclass says

    def body(self, node: Function, name: str | None) -> None:
        """Meets the body of a function, or of a lambda (name None) that is used where it stands."""
        raise NotImplementedError

    def class_body(self, node: ast.ClassDef) -> None:
        """Meets the body of a class, and binds its name."""
        raise NotImplementedError

    # -- bodies

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(*node.decorator_list)
        self._arguments(node.args)
        self._annotation(node.returns)
        self.bind(node.name)
        self.body(node, node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.args)
        self.body(node, None)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all(*node.decorator_list, *node.bases, *node.keywords)
        self.class_body(node)

    def _arguments(self, node: ast.arguments) -> None:
        self.visit_all(*node.defaults, *node.kw_defaults)
        for argument in arguments(node):
            self._annotation(argument.annotation)

    def _annotation(self, node: ast.expr | None) -> None:
        if not self.lazy:
            self.visit_all(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        self.visit_all(node.value)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_Global(self, node: ast.Global) -> None:
        self.declared.update(node.names)

    # -- what shields a read

    def visit_tried(self, node: ast.Try | ast.TryStar) -> None:
        before = self.shield
        self._shield(caught(node.handlers))
        super().visit_tried(node)
        self.shield = before

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        self.visit_all(*node.items)
        before = self.shield
        if any(suppresses(item.context_expr) for item in node.items):
            self._shield("guarded")
        self.visit_all(*node.body)
        self.shield = before

    visit_AsyncWith = visit_With

    def _shield(self, shield: Shield) -> None:
        if STRENGTH[shield] > STRENGTH[self.shield]:
            self.shield = shield

    def shield_of(self, name: str) -> Shield:
        return "guarded" if name in self._checked else self.shield

    def visit_Compare(self, node: ast.Compare) -> None:
        """`"x" in globals()` asks for x and shields what the block reads of it from there on."""
        name, table = node.left, node.comparators[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and is_table(table):
            self._checked.add(name.value)
            self.read(name.value, node)
        else:
            self.generic_visit(node)

    # -- what hides names

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(
                func=ast.Attribute(value=table, attr="get"),
                args=[ast.Constant(value=str(name)), *rest],
            ) if is_table(table):
                self._checked.add(name)
                self.read(name, node)
                self.visit_all(*rest)
                return
            case ast.Call(func=ast.Name(id="exec")):
                self.hidden.add("exec")
            case ast.Call(func=ast.Name(id="globals")):
                self.hidden.add("globals()")
            case ast.Call(func=ast.Attribute(attr="run_line_magic" | "run_cell_magic")):
                self.hidden.add("magic")
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`globals()["x"]` is x."""
        match node:
            case ast.Subscript(value=of, slice=ast.Constant(value=str(name))) if is_table(of):
                self.visit_Name(ast.copy_location(ast.Name(name, node.ctx), node))
            case _:
                self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        if any(alias.name == "*" for alias in node.names):
            self.hidden.add("star import")
        for name in imported(node):
            self.bind(name)

    visit_ImportFrom = visit_Import

    # -- branches

    def visit_If(self, node: ast.If) -> None:
        """Neither arm sees what the other binds; what follows sees both."""
        self.visit(node.test)
        before = set(self.bound)
        self.visit_all(*node.body)
        after, self.bound = self.bound, before
        self.visit_all(*node.orelse)
        self.bound |= after

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.visit_all(node.type)
        if node.name is not None:
            self.bind(node.name)
        self.visit_all(*node.body)
        if node.name is not None:
            self.unbind(node.name)

    def unbind(self, name: str) -> None:
        self.bound.discard(name)


def arguments(node: ast.arguments) -> list[ast.arg]:
    """Returns every argument of a function."""
    extra = [one for one in (node.vararg, node.kwarg) if one is not None]
    return [*node.posonlyargs, *node.args, *node.kwonlyargs, *extra]
