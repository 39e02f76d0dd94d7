"""The rules of the house: sizes, floors, no circles, no fragments, one name for one file, light imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from microg4m_hf.cli.main import GROUPS
from tests import house

Files = dict[str, house.File]

# A short file with a single importer that should stay on its own, and why.
FRAGMENTS = {
    "metrics/text/cider.py": "one file per metric, as for BLEU, ROUGE-L and METEOR",
    "metrics/text/rouge_score.py": "one file per metric, and not the published ROUGE-L",
}

# File names that stand in more than one folder, and why.
REPEATED = {
    "__main__": "what `python -m` runs",
    "build": "a network from its name, and the objects that a recipe names",
    "card": "the dataset's card and a run's card",
    "files": "prediction files of actions and of texts",
    "gap": "the command and what it calls",
    "html": "the report's page and the explorer's pieces",
    "inputs": "what predictions, networks and vision-language models take",
    "orientation": "how persons of a clip are turned, and the probe that turns clips",
    "predict": "the command and what it calls",
    "push": "the command, a dataset's upload and a run's upload",
    "references": "the files or rows of a split, and what a report knows of them",
    "report": "the command and what it calls",
    "runner": "one runner per way to reach a model",
    "scores": "scores of actions and of texts",
    "weights": "the command and what it calls",
    "texts": "captions and questions of a release, and those of the sample",
}


@pytest.fixture(scope="module")
def files() -> Files:
    return house.read_files()


def test_no_file_is_long(files: Files) -> None:
    longest = max(files.values(), key=lambda file: file.lines)
    assert longest.lines <= house.LONGEST, longest.name


def test_files_hold_whole_ideas(files: Files) -> None:
    lines = sorted(file.lines for file in files.values())
    assert 100 <= lines[len(lines) // 2] <= 250
    assert sum(count < 75 for count in lines) <= len(lines) / 5


def test_imports_go_down_only(files: Files) -> None:
    assert house.climbs(files) == []


def test_no_files_import_each_other(files: Files) -> None:
    assert house.circles(files) == []


def test_fragments_have_a_reason(files: Files) -> None:
    assert set(house.fragments(files)) == set(FRAGMENTS)


def test_repeated_names_have_a_reason(files: Files) -> None:
    assert set(house.repeated_names(files)) == set(REPEATED)


def test_no_module_hides_a_public_name() -> None:
    """Importing ``package.name`` would replace a public function of that name by the module."""
    import importlib

    for room in house.FLOOR:
        door = importlib.import_module(f"microg4m_hf.{room}")
        modules = {path.stem for path in (house.PACKAGE / room).glob("*.py")}
        assert not modules & set(getattr(door, "__all__", [])), room


def test_the_map_names_every_file(files: Files) -> None:
    assert house.mapped() == house.file_map(files), "run: python -m tests.house --write-map"


@pytest.mark.parametrize("title", house.walks())
def test_a_walk_opens_few_files(title: str, files: Files) -> None:
    """A reader goes from each file to one that is imported by a file already open, within sixteen files."""
    places = house.walks()[title]
    assert len(places) <= 16
    opened = {places[0]}
    for name in places[1:]:
        assert any(name in files[other].imports or _through_a_door(files, other, name) for other in opened), name
        opened.add(name)


def _through_a_door(files: Files, importer: str, name: str) -> bool:
    """Whether a file imports a package whose door lists the names of another file, or is the table of all commands."""
    if importer == "cli/main.py":
        return name.removeprefix("cli/").removesuffix(".py") in {module for module, _ in GROUPS.values()}
    return any(door.endswith("__init__.py") and name in files[door].imports for door in files[importer].imports)


def test_the_four_walks_are_there() -> None:
    assert len(house.walks()) == 4


def test_the_rules_notice_faults(tmp_path) -> None:  # type: ignore[no-untyped-def]
    package = tmp_path / "package"
    for folder in ("data", "bench"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "data" / "one.py").write_text("def f():\n    from .two import g\n")
    (package / "data" / "two.py").write_text("from ..bench.one import h\nfrom .one import f\n")
    (package / "bench" / "one.py").write_text("h = 1\n")
    files = house.read_files(package)
    assert house.circles(files) == [["data/one.py", "data/two.py"]]
    assert house.climbs(files) == ["data/two.py imports bench/one.py"]
    assert house.fragments(files) == ["bench/one.py", "data/one.py", "data/two.py"]
    assert list(house.repeated_names(files)) == ["one"]


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "matplotlib", "sklearn", "datasets", "pyarrow", "numpy", "pandas", "evaluate")
    code = f"import sys, microg4m_hf; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
