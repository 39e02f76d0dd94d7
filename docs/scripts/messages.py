"""Collect the error messages of the package from its source: what each one says, and what it tells the user to do.

A message is the first argument of an error class in `errors.py`, or of a function of the package that passes it on to
one. Values that are known only at run time are shown as ``…``.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from microg4m_hf import errors
from microg4m_hf.data.release.faults import FAULT_HINT

from .links import PROJECT

PACKAGE = PROJECT / "src" / "microg4m_hf"
UNKNOWN = "…"
DEPTH = 5  # how many assignments and calls are followed
_CLASSES = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
# An argument with one of these names is (a part of) a message of the function that takes it.
_WORDS = {"problem", "reason", "text", "message", "why", "what_is_wrong"}
_HINTS = {"hint", "advice", "cure"}
_VERBS = (
    "(?:[Cc]heck|[Cc]hoose|[Cc]onvert|[Cc]orrect|[Cc]ount|[Dd]ownload|[Ee]xport|[Gg]ive|[Kk]eep|[Ll]eave|[Ll]oad|"
    "[Ll]ower|[Nn]ame|[Pp]ass|[Rr]emove|[Rr]un|[Ss]ave|[Ss]et|[Uu]se|[Ww]rite|"
    "microg4m|pip install|All names|it must be|it can be)"
)


class Message(NamedTuple):
    """One message."""

    file: str
    """The file that detects the error, relative to the package."""
    problem: str
    cure: str
    """What to do, as the message itself says; empty if it does not."""

    def text(self) -> str:
        """Return the message as it is printed, apart from the file and line that some errors put before it."""
        return f"{self.problem} {self.cure}".strip()


@dataclass(frozen=True)
class _Sink:
    """A function that takes a message: the places and names of the message and of the hint, and its own advice."""

    message: tuple[int, str] | None
    hint: tuple[int, str] | None
    cure: str = ""


_KNOWN = {name: _Sink((0, "problem"), (9, "hint")) for name in _CLASSES} | {
    "error": _Sink((0, "problem"), (1, "hint")),
    "report": _Sink((3, "reason"), (4, "hint"), FAULT_HINT),
    "damaged": _Sink((1, "problem"), None, str(errors.ClipError.damaged("", "")).rpartition("; ")[2]),
}


class _Module:
    def __init__(self, path: Path) -> None:
        self.file = path.relative_to(PACKAGE).as_posix()
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.sinks = dict(_KNOWN)
        if all(function.name != "_error" for function in self.functions()):
            self.sinks["_error"] = _KNOWN["MicroG4MError"]  # an attribute that holds an error class
        self.constants = {
            target.id: node.value
            for node in self.tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def functions(self) -> Iterator[ast.FunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef):
                yield node

    def find_sinks(self) -> None:
        """Find the functions of the file that pass a message on, until there are no more."""
        before = -1
        while before != len(self.sinks):
            before = len(self.sinks)
            for function in self.functions():
                if function.name in self.sinks or function.name == "__init__":
                    continue
                names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
                names = names[1:] if names[:1] in (["self"], ["cls"]) else names
                only = [one.arg for one in function.args.kwonlyargs]
                message = hint = None
                cure = ""
                for call in self.calls(function):
                    cure = cure or self.sinks[_name(call.func)].cure
                    for expression, is_hint in self.arguments(call):
                        cure = cure or self._advice(expression, is_hint, function)
                        for name in _names(expression):
                            if name not in names + only:
                                continue
                            place = names.index(name) if name in names else 99
                            if is_hint or name in _HINTS:
                                hint = (place, name)
                            elif isinstance(expression, ast.Name) or name in _WORDS:
                                message = (place, name)
                if message:
                    self.sinks[function.name] = _Sink(message, hint, cure)

    def _advice(self, expression: ast.expr, is_hint: bool, function: ast.FunctionDef) -> str:
        """Return what a function adds to every message: its own hint, or what follows the message that it was given."""
        if is_hint:
            texts = [text for text in self.texts(expression, function) if re.search("[a-z]{2}", text)]
            return texts[-1] if texts else ""
        if isinstance(expression, ast.JoinedStr) and isinstance(expression.values[-1], ast.Constant):
            tail = re.fullmatch(r"(?:; |\. )(.+)", str(expression.values[-1].value))
            return tail[1] if tail else ""
        return ""

    def calls(self, within: ast.AST) -> Iterator[ast.Call]:
        for node in ast.walk(within):
            if isinstance(node, ast.Call) and _name(node.func) in self.sinks:
                yield node

    def arguments(self, call: ast.Call) -> Iterator[tuple[ast.expr, bool]]:
        sink = self.sinks[_name(call.func)]
        for wanted, is_hint in ((sink.message, False), (sink.hint, True)):
            if wanted is None:
                continue
            place, name = wanted
            given = next((one.value for one in call.keywords if one.arg == name), None)
            if given is None and place < len(call.args):
                given = call.args[place]
            if given is not None and not isinstance(given, ast.Starred):
                yield given, is_hint

    def messages(self, shared: dict[str, _Sink]) -> Iterator[Message]:
        self.sinks = shared | self.sinks
        functions = list(self.functions())
        for call in self.calls(self.tree):
            around = [one for one in functions if any(node is call for node in ast.walk(one))]
            scope = around[-1] if around else self.tree
            problems, hints = [], [self.sinks[_name(call.func)].cure]
            for expression, is_hint in self.arguments(call):
                texts = [text for text in self.texts(expression, scope) if re.search(r"[a-z]{2}", text)]
                if is_hint:
                    hints = texts or hints
                else:
                    problems = [text for text in texts if " " in text]  # a single word is a key of a table
            for problem, hint in itertools.product(problems, hints):
                yield _split(self.file, problem, hint)

    def texts(self, expression: ast.expr, scope: ast.AST, depth: int = 0) -> list[str]:
        """Return the texts that an expression can have."""
        if isinstance(expression, ast.Constant):
            return [str(expression.value)] if isinstance(expression.value, str) else [UNKNOWN]
        if isinstance(expression, ast.IfExp):
            return self.texts(expression.body, scope, depth) + self.texts(expression.orelse, scope, depth)
        if isinstance(expression, ast.BoolOp):
            return [text for value in expression.values for text in self.texts(value, scope, depth)]
        if isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add):
            left, right = (self.texts(side, scope, depth) for side in (expression.left, expression.right))
            return [a + b for a, b in itertools.product(left, right)][:8]
        if isinstance(expression, ast.JoinedStr):
            parts = [[""]]
            for value in expression.values:
                parts.append(self._part(value, scope, depth))
            return ["".join(words) for words in itertools.islice(itertools.product(*parts), 8)]
        if isinstance(expression, ast.Name) and depth < DEPTH:
            found = [
                text
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign) and any(_names(target) == [expression.id] for target in node.targets)
                for text in self.texts(node.value, scope, depth + 1)
            ]
            if not found:
                found = [
                    text
                    for node in ast.walk(scope)
                    if isinstance(node, (ast.For, ast.comprehension)) and expression.id in _names(node.target)
                    for text in self._items(node.iter, scope, depth + 1)
                ]
            if not found and expression.id in self.constants:
                found = self.texts(self.constants[expression.id], scope, depth + 1)
            added = [
                text
                for node in ast.walk(scope)
                if isinstance(node, ast.AugAssign) and _names(node.target) == [expression.id]
                for text in self.texts(node.value, scope, depth + 1)
            ]
            return [text + more for text in found for more in added or [""]] or [UNKNOWN]
        if isinstance(expression, ast.Call) and depth < DEPTH:
            if isinstance(expression.func, ast.Attribute) and expression.func.attr == "format":
                return [text.replace("{}", UNKNOWN) for text in self.texts(expression.func.value, scope, depth + 1)]
            name = _name(expression.func)
            returned = [
                text
                for function in self.functions()
                if function.name == name
                for node in ast.walk(function)
                if isinstance(node, ast.Return) and node.value is not None
                for text in self.texts(node.value, function, depth + 1)
            ]
            return returned or [UNKNOWN]
        if isinstance(expression, ast.Subscript) and isinstance(expression.value, ast.Name):
            table = self.constants.get(expression.value.id)
            if isinstance(table, ast.Dict):
                return [text for value in table.values for text in self.texts(value, scope, depth + 1)]
        return [UNKNOWN]

    def _items(self, container: ast.expr, scope: ast.AST, depth: int) -> list[str]:
        """Return the texts in what a loop goes over: a table that is written out, here or by its name."""
        if isinstance(container, ast.Call) and isinstance(container.func, ast.Attribute):
            container = container.func.value  # table.items()
        if isinstance(container, ast.Name):
            tables = [
                node.value
                for node in ast.walk(scope)
                if isinstance(node, ast.Assign) and any(_names(target) == [container.id] for target in node.targets)
            ]
            container = tables[0] if tables else self.constants.get(container.id, container)
        if isinstance(container, ast.Dict):
            parts: list[ast.expr] = [key for key in container.keys if key is not None]
        elif isinstance(container, (ast.Tuple, ast.List)):
            inner = [one.elts if isinstance(one, (ast.Tuple, ast.List)) else [one] for one in container.elts]
            parts = [part for several in inner for part in several]
        else:
            return []
        kept = [part for part in parts if isinstance(part, (ast.Constant, ast.JoinedStr))]
        return [text for part in kept for text in self.texts(part, scope, depth) if text != UNKNOWN]

    def _part(self, value: ast.expr, scope: ast.AST, depth: int) -> list[str]:
        if isinstance(value, ast.Constant):
            return [str(value.value)]
        inner = value.value if isinstance(value, ast.FormattedValue) else value
        if isinstance(inner, ast.Name) and (inner.id in _WORDS | _HINTS or inner.id.isupper()):
            return self.texts(inner, scope, depth + 1)
        is_format = (
            isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "format"
        )
        if isinstance(inner, ast.IfExp) or is_format:
            return self.texts(inner, scope, depth + 1)
        return [UNKNOWN]


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _names(expression: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]


def _split(file: str, problem: str, hint: str) -> Message:
    """Separate what is wrong from what to do.

    The second is the hint, or what follows a semicolon, or begins with a verb, also in parentheses at the end.
    """
    problem, hint = (" ".join(text.split()) for text in (problem, hint))
    if hint:
        return Message(file, problem, hint)
    head, semicolon, tail = problem.rpartition("; ")
    if semicolon:  # where all before it is known at run time only, the list shows the rest as the message
        return Message(file, head if re.search("[a-z]{2}", head) else problem, tail)
    verb = re.fullmatch(rf"(.+?)(?:: |\. |, )({_VERBS} .+)", problem)
    if verb and re.search("[a-z]{3}", verb[1]):
        return Message(file, verb[1], verb[2])
    inside = re.fullmatch(rf"(.*) \(({_VERBS} [^()]*)\)", problem)
    if inside:
        return Message(file, inside[1], inside[2])
    return Message(file, problem, "")


@cache
def collect() -> list[Message]:
    """Return all messages, by file."""
    found: dict[Message, None] = {}
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if "metrics/modules" not in path.as_posix()]
    modules = [_Module(path) for path in paths]
    for module in modules:
        module.find_sinks()
    defined = Counter(function.name for module in modules for function in module.functions())
    imported = {name: value for module in modules for name, value in module.constants.items() if name.isupper()}
    for module in modules:
        module.constants = imported | module.constants
    shared = {
        name: sink
        for module in modules
        for name, sink in module.sinks.items()
        if defined[name] == 1 and not name.startswith("_")
    }
    for module in modules:
        if module.file == "errors.py":
            continue  # it puts messages together
        for message in module.messages(shared):
            found.setdefault(message)
    return list(found)
