"""The test mixins that transformers ships in its source distribution, fetched from the package registry."""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
import tarfile
import types
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

_CACHE = Path(__file__).resolve().parents[2] / ".venvs"
_PACKAGE = "transformers_tests"


def model_tester_mixin() -> Any:
    """Return ``ModelTesterMixin`` of the installed transformers, or skip the module that calls this."""
    pytest.importorskip("parameterized", reason="transformers' tests need the package parameterized")
    folder = _fetch()
    package = types.ModuleType(_PACKAGE)
    package.__path__ = [str(folder)]
    sys.modules.setdefault(_PACKAGE, package)
    _stand_in_for_missing(folder / "test_modeling_common.py")
    return importlib.import_module(f"{_PACKAGE}.test_modeling_common").ModelTesterMixin


def _fetch() -> Path:
    """Return the folder ``tests`` of the source distribution; pip compares the archive with the registry's hash."""
    import transformers

    name = f"transformers-{transformers.__version__}"
    folder = _CACHE / f"{name}-tests"
    _CACHE.mkdir(exist_ok=True)
    with FileLock(_CACHE / "transformers-tests.lock"):
        if not folder.is_dir():
            work = _CACHE / f"{name}-sdist"
            options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(work)]
            command = [sys.executable, "-m", "pip", "download", *options, name.replace("-", "==", 1)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=900)
            except subprocess.TimeoutExpired:
                pytest.skip(
                    "the package registry did not send transformers' source distribution", allow_module_level=True
                )
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
                pytest.skip(f"transformers' source distribution is not at hand: {reason[0]}", allow_module_level=True)
            with tarfile.open(next(work.glob("*.tar.gz"))) as archive:
                members = [member for member in archive if member.name.startswith(f"{name}/tests/")]
                archive.extractall(work, members, filter="data")
            shutil.move(work / name / "tests", folder)
            shutil.rmtree(work)
    return folder


def _stand_in_for_missing(path: Path) -> None:
    """Register modules with empty classes for the relative imports that the distribution does not contain."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or node.level != 1 or not node.module:
            continue
        if (path.parent / f"{node.module.replace('.', '/')}.py").is_file():
            continue
        module = sys.modules.setdefault(f"{_PACKAGE}.{node.module}", types.ModuleType(node.module))
        for alias in node.names:
            setattr(module, alias.name, type(alias.name, (), {}))
        parent = node.module.rpartition(".")[0]
        while parent:
            sys.modules.setdefault(f"{_PACKAGE}.{parent}", types.ModuleType(parent)).__path__ = []
            parent = parent.rpartition(".")[0]
