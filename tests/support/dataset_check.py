"""Try everything that a user does with one version of ``datasets``, and print what works as JSON.

    python dataset_check.py RELEASE_FOLDER LEGACY_SCRIPT CACHE_FOLDER

It runs in the environment of that version, which has only the base install, so it imports neither pytest nor other
test code. ``HF_ENDPOINT`` is a local Hub that holds the same release.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import traceback
from importlib import metadata
from pathlib import Path

release, script, cache = (Path(argument).resolve() for argument in sys.argv[1:4])
os.environ["HF_HOME"] = str(cache / "hf")
os.environ["MICROG4M_HOME"] = str(cache / "microg4m")
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

import datasets  # noqa: E402

import microg4m_hf  # noqa: E402

CONFIGS = ["har", "caption", "vqa"]
NAME = "microg4m"
CHECKS: dict[str, object] = {}


def check(what):
    """Register a check under its name in the table."""
    return lambda function: CHECKS.setdefault(what, function)


def count_rows(dataset) -> int:
    return sum(1 for _ in dataset)


def load_bare(config, **kwargs):
    return datasets.load_dataset(NAME, config, data_dir=str(release), **kwargs)


@check("microg4m_hf.load_dataset")
def _():
    for config in CONFIGS:
        loaded = microg4m_hf.load_dataset(config, data_dir=release)
        assert all(len(split) for split in loaded.values()), loaded
        first = loaded["test"][0]
        assert Path(first["video"]["path"]).is_file() and first["video"]["bytes"] is None
        assert pickle.loads(pickle.dumps(first)) == first


@check("clips decoded with PyAV")
def _():
    from microg4m_hf.data import open_clip

    row = microg4m_hf.load_dataset("har", data_dir=release, split="train")[0]
    frames = open_clip(row["video"], backend="pyav").frames([0, 40, 89])
    assert frames.shape[0] == 3 and frames.shape[3] == 3, frames.shape


@check("bare name")
def _():
    for config in CONFIGS:
        ours, theirs = microg4m_hf.load_dataset(config, data_dir=release), load_bare(config)
        assert {name: split[:] for name, split in ours.items()} == {name: split[:] for name, split in theirs.items()}
    actions = load_bare("har", split="train").features["persons"]
    actions = (actions[0] if isinstance(actions, list) else actions.feature)["actions"]
    names = (actions[0] if isinstance(actions, list) else actions.feature).names
    assert len(names) == 50, names


@check("scheme=, domain=, videos=")
def _():
    divided = load_bare("vqa", scheme="source_disjoint")
    assert sum(len(split) for split in divided.values()) == len(load_bare("vqa", split="test"))
    assert set(load_bare("har", domain="movie", split="train")["domain"]) == {"movie"}
    assert "video" not in load_bare("har", videos=False, split="test").column_names


@check("splits and slices")
def _():
    whole = load_bare("har", split="train")
    first, rest = load_bare("har", split=["train[:50%]", "train[50%:]"])
    assert len(first) + len(rest) == len(whole) and first[0] == whole[0]


@check("num_proc=2")
def _():
    parallel = load_bare("har", num_proc=2, cache_dir=str(cache / "parallel"))
    assert {k: v[:] for k, v in parallel.items()} == {k: v[:] for k, v in load_bare("har").items()}


@check("streaming")
def _():
    for config in CONFIGS:
        stream = load_bare(config, streaming=True, split="test")
        assert list(stream) == list(load_bare(config, split="test"))


@check("names, splits, infos")
def _():
    assert datasets.get_dataset_config_names(NAME) == CONFIGS
    assert datasets.get_dataset_split_names(NAME, "vqa", data_dir=str(release)) == ["test"]
    assert list(datasets.get_dataset_infos(NAME, data_dir=str(release))) == CONFIGS
    assert datasets.load_dataset_builder(NAME, "caption", data_dir=str(release)).info.features["caption"]


@check("map, filter, pickle")
def _():
    train = load_bare("har", split="train")
    counted = train.map(lambda row: {"people": len(row["persons"])}, remove_columns=train.column_names)
    assert counted["people"][0] == len(train[0]["persons"])
    assert len(train.filter(lambda row: row["domain"] == "real")) <= len(train)
    assert pickle.loads(pickle.dumps(train))[0] == train[0]


@check("from the Hub")
def _():
    for config in CONFIGS:
        for videos in (False, True):
            hub = datasets.load_dataset(NAME, config, videos=videos, split="test")
            local = load_bare(config, videos=videos, split="test")
            assert hub.column_names == local.column_names
            assert hub["video_id"][:] == local["video_id"][:] and len(hub) > 0
        path = Path(hub[0]["video"]["path"])
        assert path.is_relative_to(cache) and path.read_bytes() == Path(local[0]["video"]["path"]).read_bytes()
    assert count_rows(datasets.load_dataset(NAME, "vqa", streaming=True, split="test")) == len(local)


@check("builder class")
def _():
    from microg4m_hf.data.builder import MicroG4M

    builder = MicroG4M(config_name="caption", data_dir=str(release), cache_dir=str(cache / "direct"))
    builder = pickle.loads(pickle.dumps(builder))
    builder.download_and_prepare()
    assert builder.as_dataset(split="test")[:] == load_bare("caption", split="test")[:]


@check("bare name, datasets imported first")
def _():
    code = (
        "from datasets import load_dataset\nimport microg4m_hf, sys\n"
        f"print(len(load_dataset({NAME!r}, 'vqa', split='test', videos=False, data_dir=sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(release)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(load_bare("vqa", split="test"))


@check("legacy script")
def _():
    loaded = datasets.load_dataset(str(script), "har", data_dir=str(release), trust_remote_code=True)
    assert {k: v[:] for k, v in loaded.items()} == {k: v[:] for k, v in load_bare("har").items()}
    stream = datasets.load_dataset(
        str(script), "vqa", data_dir=str(release), trust_remote_code=True, streaming=True, split="test"
    )
    assert list(stream) == list(load_bare("vqa", split="test"))


def main() -> None:
    packages = ["datasets", "huggingface_hub", "pyarrow", "numpy", "pandas", "av", "pillow", "evaluate", "fsspec"]
    outcome = {}
    for what, function in CHECKS.items():
        try:
            function()
            outcome[what] = "yes"
        except Exception as error:
            outcome[what] = f"{type(error).__name__}: {error}".splitlines()[0]
            traceback.print_exc()
    print(json.dumps({"versions": {name: metadata.version(name) for name in packages}, "outcome": outcome}))


if __name__ == "__main__":
    main()
