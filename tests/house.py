"""Measure the package.

``python -m tests.house`` prints sizes and faults, ``--walks`` the walks of ``docs/architecture.md`` with their sizes,
and ``--write-map`` updates the list of files there from the first sentence of each file. The rules are in
``tests/test_floors.py``.
"""

from __future__ import annotations

import ast
import collections
import functools
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PACKAGE = PROJECT / "src" / "microg4m_hf"
MAP = PROJECT / "docs" / "architecture.md"
FLOOR = {
    **dict.fromkeys(("data", "metrics", "models"), 1),
    "inference": 2,
    **dict.fromkeys(("training", "web"), 3),
    **dict.fromkeys(("bench", "curate"), 4),
    "cli": 5,
}
MAP_BEGINS, MAP_ENDS = "<!-- files: python -m tests.house --write-map -->", "<!-- end of files -->"
LONGEST = 500
FRAGMENT = 60


@dataclass(frozen=True)
class File:
    """A file of the package: its lines, and the files of ours that it imports, wherever in the file it does so."""

    name: str
    lines: int
    imports: frozenset[str]
    imports_at_once: frozenset[str]
    """The imports that run when the file is imported: not inside functions, not for type checkers only."""

    @property
    def room(self) -> str:
        return self.name.split("/")[0] if "/" in self.name else ""


@functools.cache
def read_files(package: Path = PACKAGE) -> dict[str, File]:
    """Every file of the package by its path in it; scripts that are data lie in folders without ``__init__.py``."""
    found = {}
    for path in sorted(path for path in package.rglob("*.py") if (path.parent / "__init__.py").is_file()):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        everywhere = frozenset(_imported(ast.walk(tree), path, package))
        at_once = frozenset(_imported(_statements_at_once(tree.body), path, package))
        name = path.relative_to(package).as_posix()
        found[name] = File(name, len(text.splitlines()), everywhere - {name}, at_once - {name})
    return found


def _statements_at_once(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        for field in ("body", "orelse", "finalbody", "handlers"):
            yield from _statements_at_once(getattr(node, field, None) or [])


def _imported(nodes: Iterator[ast.AST], path: Path, package: Path) -> Iterator[str]:
    here = (package.name, *path.relative_to(package).parts[:-1])
    for node in nodes:
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(here[: len(here) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == package.name:
                yield _file_of(target[1:], package)


def _file_of(parts: list[str], package: Path) -> str:
    """The file that a dotted name is in: a module, or the module or package that holds the name."""
    for end in range(len(parts), -1, -1):
        place = package.joinpath(*parts[:end])
        if end and place.with_suffix(".py").is_file():
            return place.with_suffix(".py").relative_to(package).as_posix()
        if (place / "__init__.py").is_file():
            return (place / "__init__.py").relative_to(package).as_posix()
    raise ValueError(f"there is no {'.'.join(parts)}")


def circles(files: dict[str, File]) -> list[list[str]]:
    """Groups of files that import each other, in one step or in several."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(files[name].imports):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in files:
        if name not in index:
            visit(name)
    return found


def climbs(files: dict[str, File]) -> list[str]:
    """Imports that go up a floor, or across from one room to another on the same floor."""
    found = []
    for file in files.values():
        if file.name in {"__init__.py", "__main__.py"}:
            continue  # the front door opens every room
        for name in sorted(file.imports):
            other = files[name]
            if other.room and other.room != file.room and FLOOR[other.room] >= FLOOR.get(file.room, 0):
                found.append(f"{file.name} imports {name}")
    return found


def importers(files: dict[str, File]) -> dict[str, set[str]]:
    """Who imports each file; a package door that only lists a name does not count."""
    found: dict[str, set[str]] = {name: set() for name in files}
    for file in files.values():
        if file.name.endswith("__init__.py"):
            continue
        for name in file.imports:
            found[name].add(file.name)
    return found


def fragments(files: dict[str, File]) -> list[str]:
    """Short files with a single importer."""
    by = importers(files)
    return [
        name
        for name, file in files.items()
        if file.lines < FRAGMENT and len(by[name]) == 1 and not name.endswith("__init__.py")
    ]


def repeated_names(files: dict[str, File]) -> dict[str, list[str]]:
    """Names that more than one file has."""
    by_name: dict[str, list[str]] = collections.defaultdict(list)
    for name in files:
        if not name.endswith("__init__.py"):
            by_name[Path(name).stem].append(name)
    return {name: places for name, places in sorted(by_name.items()) if len(places) > 1}


def walks() -> dict[str, list[str]]:
    """The walks of ``docs/architecture.md``: the files that a reader opens, in order."""
    found: dict[str, list[str]] = {}
    title = None
    for line in MAP.read_text(encoding="utf-8").splitlines():
        if line.startswith("### Walk: "):
            title = line.removeprefix("### Walk: ").strip()
        step = re.match(r"\d+\. `([\w/]+\.py)`", line)
        if title and step:
            found.setdefault(title, []).append(step[1])
        elif line.startswith("#") and not line.startswith("### Walk: "):
            title = None
    return found


def file_map(files: dict[str, File]) -> str:
    """The list of files for ``docs/architecture.md``: a table per folder, with the first sentence of each file."""
    folders: dict[str, list[str]] = collections.defaultdict(list)
    for name in files:
        folders[str(Path(name).parent)].append(name)
    parts = []
    for folder in sorted(folders, key=lambda folder: (FLOOR.get(folder.split("/")[0], 0), folder)):
        title = "the root" if folder == "." else f"`{folder}`"
        rows = [f"| `{name}` | {first_sentence(PACKAGE / name)} |" for name in folders[folder]]
        parts.append("\n".join([f"### Files in {title}", "", "| File | What it holds |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def first_sentence(path: Path) -> str:
    """The first sentence of a file's docstring."""
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    sentence = re.split(r"(?<=[.:]) (?=[A-Z`*])", " ".join(text.split()))[0]
    sentence = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", sentence)
    return sentence.replace("``", "`").replace("|", "\\|").rstrip(".:")


def mapped() -> str:
    """The list of files as it stands in ``docs/architecture.md``."""
    return MAP.read_text(encoding="utf-8").split(MAP_BEGINS)[1].split(MAP_ENDS)[0].strip()


def main() -> None:
    files = read_files()
    if "--write-map" in sys.argv:
        before, _, after = MAP.read_text(encoding="utf-8").partition(MAP_BEGINS)
        end = after.partition(MAP_ENDS)[2]
        MAP.write_text(f"{before}{MAP_BEGINS}\n\n{file_map(files)}\n\n{MAP_ENDS}{end}", encoding="utf-8")
        return
    if "--walks" in sys.argv:
        for title, places in walks().items():
            print(f"{title}: {len(places)} files, {sum(files[name].lines for name in places):,} lines")
        return
    lines = [file.lines for file in files.values()]
    widest = collections.Counter(str(Path(name).parent) for name in files).most_common(1)[0]
    longest = max(files.values(), key=lambda file: file.lines)
    print(f"files {len(files)}, lines {sum(lines):,}, median {statistics.median(lines):.0f}")
    print(
        f"under 75 lines {sum(count < 75 for count in lines) / len(lines):.0%}, longest {longest.lines} {longest.name}"
    )
    print(
        f"widest folder {widest[1]} {widest[0]}, circles {len(circles(files))}, climbing imports {len(climbs(files))}"
    )
    print(f"fragments {len(fragments(files))}, repeated names {len(repeated_names(files))}")
    for group in circles(files):
        print("circle:", ", ".join(group))
    for fault in climbs(files):
        print("climbs:", fault)


if __name__ == "__main__":
    main()
