"""``import microg4m_hf`` registers with ``datasets``, ``evaluate`` and ``transformers``, in either import order."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import datasets.inspect
import datasets.load
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import microg4m_hf  # noqa: F401
from microg4m_hf import auto_register
from microg4m_hf.errors import MicroG4MError
from tests.support.warm_python import warm_python

PRINT_PATCH = "import datasets, datasets.inspect as i; l = datasets.load; f = l.dataset_module_factory\n"
PRINT_PATCH += "print(f.__module__, i.dataset_module_factory is f, hasattr(f, '__microg4m_hf__'))"


def python(code: str, program: str = "") -> str:
    words = [program or warm_python(), "-c", code]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "first", ["import microg4m_hf", "from datasets import load_dataset; import microg4m_hf", "import datasets.inspect"]
)
def test_either_import_may_come_first(first: str) -> None:
    printed = python(f"{first}\n{PRINT_PATCH}").split()
    assert printed[1:] == ["True", str("microg4m_hf" in first)]


def test_importing_the_package_is_fast() -> None:
    """It imports few modules, all of them of the standard library."""
    code = "import sys; before = set(sys.modules); import microg4m_hf; print(*(set(sys.modules) - before))"
    imported = python(code, sys.executable).split()
    assert {name.partition(".")[0] for name in imported} <= {"microg4m_hf", *sys.stdlib_module_names}
    assert len(imported) < 150


def test_a_reload_of_datasets_is_patched_too() -> None:
    code = (
        "import microg4m_hf, sys, importlib, datasets\n"
        "importlib.reload(datasets.load)\n"
        "print(hasattr(datasets.load.dataset_module_factory, '__microg4m_hf__'))\n"
        "microg4m_hf.auto_register.install(); microg4m_hf.auto_register.install()\n"
        "print(sum('AfterImport' in type(f).__name__ for f in sys.meta_path))\n"
        "print(hasattr(datasets.load.dataset_module_factory.__wrapped__, '__wrapped__'))"
    )
    assert python(code).split() == ["True", "1", "False"]


def test_importing_packages_again_registers_the_new_classes() -> None:
    """As Streamlit, the reload of Gradio and tests do: remove modules from ``sys.modules``, import them again."""
    code = (
        "import sys\n"
        "def purge(package):\n"
        "    for name in [n for n in sys.modules if n.partition('.')[0] == package]:\n        del sys.modules[name]\n"
        "import microg4m_hf\n"
        "purge('microg4m_hf')\n"
        "import microg4m_hf, datasets\n"
        "from transformers import AutoConfig\n"
        "purge('microg4m_hf')\n"
        "import microg4m_hf\n"
        "print(datasets.get_dataset_config_names('microg4m'))\n"
        "try:\n    datasets.load_dataset('microg4m', data_files='x.csv')\n"
        "except microg4m_hf.MicroG4MError:\n    print('new error')\n"
        "print(type(AutoConfig.for_model('microg4m_har')) is microg4m_hf.models.MicroG4MHarConfig)\n"
        "print(sum(type(f).__module__.startswith('microg4m_hf') for f in sys.meta_path))\n"
        "purge('transformers')\n"
        "from transformers import AutoConfig, PreTrainedConfig\n"
        "print(isinstance(AutoConfig.for_model('microg4m_har'), PreTrainedConfig))\n"
    )
    assert python(code).splitlines() == ["['har', 'caption', 'vqa']", "new error", "True", "2", "True"]


def test_two_finders_that_ask_each_other_end_their_search(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def find_spec(self, name: str, path: object = None, target: object = None) -> object:
            for finder in [f for f in sys.meta_path if f is not self]:
                spec = finder.find_spec(name, path, target)  # type: ignore[arg-type]
                if spec is not None:
                    return spec
            return None

    ours = auto_register._AfterImport()
    monkeypatch.setattr(sys, "meta_path", [Other(), ours, *sys.meta_path[1:]])
    assert importlib.util.find_spec("datasets.load") is not None
    spec = ours.find_spec("datasets.load", datasets.__path__)
    assert spec is not None and "exec_module" in vars(spec.loader)


def test_a_tokenizer_costs_hardly_more_modules_with_the_package() -> None:
    """The networks, and the modules of transformers that they need, are imported when one is built."""
    names = "print('\\n'.join(sys.modules))"
    bare = set(python(f"import sys; from transformers import AutoTokenizer; {names}", sys.executable).split())
    ours = set(
        python(f"import sys, microg4m_hf; from transformers import AutoTokenizer; {names}", sys.executable).split()
    )
    added = ours - bare
    assert {name for name in added if not name.startswith("microg4m_hf")} == set()
    assert len(added) < 0.05 * len(bare)
    assert "microg4m_hf.models.configuration" in added and "microg4m_hf.models.modeling" not in added


def test_every_way_to_a_model_loads_the_classes_when_they_are_used(tmp_path: Path) -> None:
    (tmp_path / "processor_config.json").write_text('{"processor_class": "MicroG4MHarProcessor", "num_frames": 4}')
    code = (
        "import sys, microg4m_hf\n"
        "from transformers import AutoModel, AutoModelForVideoClassification, AutoProcessor, pipeline\n"
        "def loaded(name):\n    return 'microg4m_hf.' + name in sys.modules\n"
        "from microg4m_hf.models.specs import X3DSpec\n"
        "config = microg4m_hf.models.MicroG4MHarConfig.of(X3DSpec(width_factor=1, depth_factor=0.2), num_frames=4)\n"
        "print(loaded('models.modeling'), loaded('models.processing'), loaded('inference.har_pipeline'))\n"
        "print(type(AutoModel.from_config(config)).__name__, loaded('models.modeling'))\n"
        f"folder = {str(tmp_path)!r}\n"
        "AutoModelForVideoClassification.from_config(config).save_pretrained(folder)\n"
        "print(type(AutoProcessor.from_pretrained(folder)).__name__, loaded('inference.har_pipeline'))\n"
        "print(type(pipeline('microg4m-har', model=folder)).__name__)\n"
        "print(AutoModel._model_mapping[type(config)] is microg4m_hf.models.MicroG4MHarModel)\n"
    )
    assert python(code).splitlines() == [
        "False False False",
        "MicroG4MHarModel True",
        "MicroG4MHarProcessor False",
        "HarPipeline",
        "True",
    ]


def test_the_patched_internals_of_datasets_exist() -> None:
    """The first test to fail when a new version of ``datasets`` changes what is wrapped."""
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


def test_other_names_are_loaded_by_datasets(tmp_path: Path) -> None:
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
def test_changed_internals_raise_a_warning_and_break_nothing(changed: ModuleType) -> None:
    before = vars(changed).get("dataset_module_factory")
    with pytest.warns(RuntimeWarning, match=r"use microg4m_hf\.load_dataset"):
        auto_register.register_builder(changed)
    assert vars(changed).get("dataset_module_factory") is before


def test_data_files_are_rejected() -> None:
    with pytest.raises(MicroG4MError, match="data_dir="):
        datasets.load_dataset("microg4m", "har", data_files="actions.csv")


CARD = "---\nconfigs:\n- config_name: vqa\n  data_files:\n  - split: test\n    path: vqa/*.parquet\n---\n# A card\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "microg4m").mkdir()
    return tmp_path / "microg4m"


def test_a_folder_without_data_does_not_shadow_the_name(folder: Path) -> None:
    assert not auto_register.is_dataset_folder("microg4m")
    (folder / "README.md").write_text("# microg4m-hf\n\nA clone of the project.\n")
    (folder / "setup.cfg").write_text("[metadata]\n")
    (folder / "src").mkdir()
    assert not auto_register.is_dataset_folder("microg4m")
    (folder / "README.md").write_text("---\ntitle: not a dataset\n---\n")
    assert not auto_register.is_dataset_folder("microg4m")
    (folder / "README.md").write_bytes(b"---\n\xff\xfe: [\n---")
    assert not auto_register.is_dataset_folder("microg4m")
    (folder / "README.md").write_text("---\n{unclosed: [\n---\n")
    assert not auto_register.is_dataset_folder("microg4m")
    assert datasets.get_dataset_config_names("microg4m") == ["har", "caption", "vqa"]


def test_the_released_files_do_not_shadow_the_name(folder: Path) -> None:
    (folder / "README.md").write_text(CARD)
    (folder / "annotation_files").mkdir()
    (folder / "parquet_format").mkdir()
    (folder / "parquet_format" / "actions.parquet").touch()
    assert not auto_register.is_dataset_folder("microg4m")


def test_a_file_does_not_shadow_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "microg4m").touch()
    assert not auto_register.is_dataset_folder("microg4m")
    assert datasets.get_dataset_config_names("microg4m") == ["har", "caption", "vqa"]


def test_a_folder_with_parquet_files_shadows_the_name(folder: Path, tmp_path: Path) -> None:
    (folder / "vqa").mkdir()
    pq.write_table(pa.table({"question": ["Who floats?"]}), folder / "vqa" / "test.parquet")
    assert auto_register.is_dataset_folder("microg4m")  # parquet files are enough
    (folder / "README.md").write_text(CARD)
    assert auto_register.is_dataset_folder("microg4m")
    loaded = datasets.load_dataset("microg4m", "vqa", split="test", cache_dir=str(tmp_path / "cache"))
    assert loaded["question"][:] == ["Who floats?"]
