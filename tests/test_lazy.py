"""The package doors: public names load on first use, editors see them, and old import paths keep working."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import microg4m_hf
from microg4m_hf.lazy import MOVED, attach

# The names of the first release. New ones may be added, none of these may go.
RELEASED = {
    "microg4m_hf": "MicroG4MError __version__ load_dataset",
    "microg4m_hf.data": "Clip ClipInfo Release ensure_sample every leak_report load_dataset open_clip probe "
    "push_dataset read_frames read_release uniform window",
    "microg4m_hf.metrics": "BertScorer HarAccumulator SentenceEncoder TieWarning TunedThresholds caption_scores "
    "compare compare_texts frame_ap har_scores make_compute_metrics text_scores tune_thresholds vqa_scores "
    "write_predictions",
    "microg4m_hf.models": "CORRECTED PUBLISHED VARIANTS MicroG4MHarConfig MicroG4MHarForVideoClassification "
    "MicroG4MHarModel MicroG4MHarProcessor config_of create export_pyslowfast for_training load_pyslowfast "
    "save_pyslowfast wrap",
    "microg4m_hf.training": "Data Geometry KeyFrame KeyFrameWindows PaddedCollator PaddedModel Recipe RunBatches "
    "build_model collate learning_rate load_recipe move_boxes parameter_groups predict_har predict_logits push_run "
    "recipe_of render_batch run_training score_logits split_items training_geometry",
    "microg4m_hf.bench": "PublishedRow PublishedTable explore make_report published_tables",
    "microg4m_hf.bench.explorer": "Catalogue Filter Run build explore export_space launch read_catalogue read_runs "
    "run_space select",
}
PACKAGE = Path(microg4m_hf.__file__).parent
SUBPACKAGES = ("bench", "data", "inference", "metrics", "models", "training")
DOORS = [
    ".".join(("microg4m_hf", *path.relative_to(PACKAGE).parts[:-1]))
    for path in sorted(PACKAGE.rglob("__init__.py"))
    if "attach(" in path.read_text(encoding="utf-8")
]


def source_of(door: str) -> Path:
    return PACKAGE.joinpath(*door.split(".")[1:], "__init__.py")


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_every_package_of_the_readme_is_a_door() -> None:
    assert set(RELEASED) <= set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_every_public_name_loads_and_is_listed(door: str) -> None:
    package = importlib.import_module(door)
    assert set(RELEASED.get(door, "").split()) <= set(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    assert not {"annotations", "attach", "TYPE_CHECKING"} & set(dir(package))
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match=f"module '{door}' has no attribute 'missing'"):
        package.missing  # noqa: B018


@pytest.mark.parametrize("door", DOORS)
def test_type_checkers_and_the_interpreter_see_the_same_names(door: str) -> None:
    tree = ast.parse(source_of(door).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    # `from ._version import __version__ as __version__` and the like stand outside of the block.
    imports = [n for n in (*tree.body, *block.body) if isinstance(n, ast.ImportFrom)]
    typed = {a.name: n.module for n in imports for a in n.names if n.level == 1 and a.asname == a.name}
    assert all(a.asname == a.name for n in block.body if isinstance(n, ast.ImportFrom) for a in n.names)
    package = importlib.import_module(door)
    assert sorted(typed) == package.__all__
    for name, module in typed.items():
        defining = importlib.import_module(f"{door}.{module or name}")
        assert getattr(package, name) is (getattr(defining, name) if module else defining)


@pytest.mark.parametrize("door", DOORS)
def test_no_public_name_is_the_name_of_a_submodule(door: str) -> None:
    """Importing the submodule would replace the function of that name by the module."""
    package = importlib.import_module(door)
    submodules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    same = submodules & set(package.__all__)
    assert all(getattr(package, name) is sys.modules.get(f"{door}.{name}") for name in same)


def test_subpackages_are_reachable_after_importing_the_package() -> None:
    for name in (*SUBPACKAGES, "taxonomy"):
        assert run(f"import microg4m_hf; print(microg4m_hf.{name}.__name__)") == f"microg4m_hf.{name}"
    assert run("from microg4m_hf import *; print(load_dataset.__name__, models.__name__)").startswith("load_dataset ")


def test_listing_names_imports_nothing() -> None:
    code = (
        "import sys, microg4m_hf.metrics, microg4m_hf.models; before = set(sys.modules)\n"
        "dir(microg4m_hf), dir(microg4m_hf.metrics), dir(microg4m_hf.models)\n"
        "print(sorted(set(sys.modules) - before))"
    )
    assert run(code) == "[]"


def test_attach_lists_submodules_once_they_are_loaded() -> None:
    package: Any = importlib.import_module("microg4m_hf.metrics")
    importlib.import_module("microg4m_hf.metrics.results")
    assert "results" in dir(package)
    get_attribute, list_attributes, exported = attach("microg4m_hf.bench")
    assert {"explore", "explorer"} <= set(exported) <= set(list_attributes())
    assert get_attribute("explorer") is importlib.import_module("microg4m_hf.bench.explorer")


def test_a_package_without_its_source_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    place = str(source_of("microg4m_hf.bench").with_name("missing"))
    monkeypatch.setattr(microg4m_hf.bench, "__file__", f"{place}/__init__.py")
    with pytest.raises(ImportError, match=r"missing.*; install microg4m-hf with its sources"):
        attach("microg4m_hf.bench")


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_moved_module_is_the_very_same_module(old: str, new: str) -> None:
    assert importlib.import_module(old) is importlib.import_module(new)


def test_moved_modules_import_in_a_fresh_process_in_every_form() -> None:
    lines = ["import sys", *(f"import {old}" for old in MOVED), "from microg4m_hf.inference import prompts"]
    lines += ["import microg4m_hf.training.windows as windows", f"moved = {MOVED!r}"]
    lines += ["assert all(sys.modules[old] is sys.modules[new] for old, new in moved.items())"]
    lines += ["print(windows.__name__, prompts.__name__)"]
    assert run("\n".join(lines)) == "microg4m_hf.training.loading.dataset microg4m_hf.inference.items"


def test_no_moved_path_hides_a_module_that_exists() -> None:
    for old in MOVED:
        place = PACKAGE.joinpath(*old.split(".")[1:])
        assert not place.with_suffix(".py").exists() and not place.exists(), old


@pytest.mark.parametrize("door", DOORS)
def test_completion_lists_the_public_names(door: str) -> None:
    jedi = pytest.importorskip("jedi")
    public = set(importlib.import_module(door).__all__) - {"__version__"}
    interactive = jedi.Interpreter(f"{door}.", [{"microg4m_hf": microg4m_hf}]).complete()
    assert public <= {completion.name for completion in interactive}
    assert not {"annotations", "attach", "TYPE_CHECKING"} & {completion.name for completion in interactive}
    static = jedi.Script(f"import microg4m_hf\n{door}.", project=jedi.Project(PACKAGE.parent)).complete()
    assert public <= {completion.name for completion in static}
