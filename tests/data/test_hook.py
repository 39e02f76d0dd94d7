"""``datasets`` knows the bare name after ``import microg4m_hf``, in either order, and cheaply."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import datasets.inspect
import datasets.load
import pytest

import microg4m_hf  # noqa: F401
from microg4m_hf import auto_register
from microg4m_hf.errors import MicroG4MError

TAUGHT = "import datasets, datasets.inspect as i; l = datasets.load; f = l.dataset_module_factory\n"
TAUGHT += "print(f.__module__, i.dataset_module_factory is f, hasattr(f, '__microg4m_hf__'))"


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "first", ["import microg4m_hf", "from datasets import load_dataset; import microg4m_hf", "import datasets.inspect"]
)
def test_either_import_may_come_first(first: str) -> None:
    taught = python(f"{first}\n{TAUGHT}").split()
    assert taught[1:] == ["True", str("microg4m_hf" in first)]


def test_importing_us_is_fast() -> None:
    # Processor time, so that what else runs on the machine does not count.
    code = "import time; t = time.process_time(); import microg4m_hf; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(3)) < 0.1


def test_a_second_import_of_datasets_is_taught_too() -> None:
    code = (
        "import microg4m_hf, sys, importlib, datasets\n"
        "importlib.reload(datasets.load)\n"
        "print(hasattr(datasets.load.dataset_module_factory, '__microg4m_hf__'))\n"
        "microg4m_hf.auto_register.install(); microg4m_hf.auto_register.install()\n"
        "print(sum('AfterImport' in type(f).__name__ for f in sys.meta_path))\n"
        "print(hasattr(datasets.load.dataset_module_factory.__wrapped__, '__wrapped__'))"
    )
    assert python(code).split() == ["True", "1", "False"]


def test_the_internals_that_the_hook_stands_on_are_there() -> None:
    """Fails first when a new version of ``datasets`` changes what is patched."""
    factory = datasets.load.dataset_module_factory
    assert getattr(factory, "__microg4m_hf__", False)
    assert datasets.inspect.dataset_module_factory is factory
    assert {"path", "revision", "data_files", "data_dir"} <= set(inspect.signature(factory).parameters)
    module = factory("microg4m", revision="v1")
    assert module.module_path == "microg4m_hf.data.builder"
    assert module.builder_kwargs == {"dataset_name": "microg4m", "revision": "v1"}
    from microg4m_hf.data.builder import MicroG4M

    assert datasets.load.get_dataset_builder_class(module, dataset_name="microg4m") is MicroG4M
    assert datasets.get_dataset_config_names("microg4m") == ["har", "caption", "vqa"]


def test_other_names_go_where_they_went(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    module = datasets.load.dataset_module_factory("csv", data_files=str(tmp_path / "x.csv"))
    assert module.module_path.startswith("datasets.")


def _module(**names: object) -> ModuleType:
    module = ModuleType("datasets.load")
    vars(module).update(names)
    return module


@pytest.mark.parametrize(
    "changed",
    [
        _module(),
        _module(dataset_module_factory=lambda path, revision, data_files: None),
        _module(dataset_module_factory=lambda name: None, DatasetModule=datasets.load.DatasetModule),
        _module(dataset_module_factory=lambda path, revision, data_files: None, DatasetModule=lambda one: one),
    ],
    ids=["no factory", "no module class", "other parameters", "other fields"],
)
def test_changed_internals_are_told_and_break_nothing(changed: ModuleType) -> None:
    before = vars(changed).get("dataset_module_factory")
    with pytest.warns(RuntimeWarning, match=r"use microg4m_hf\.load_dataset"):
        auto_register.teach(changed)
    assert vars(changed).get("dataset_module_factory") is before


def test_data_files_are_refused() -> None:
    with pytest.raises(MicroG4MError, match="data_dir="):
        datasets.load_dataset("microg4m", "har", data_files="actions.csv")
