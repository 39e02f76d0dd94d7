"""Invalid arguments are refused with a hint, and the released files are loaded completely."""

from __future__ import annotations

import inspect
import subprocess
from pathlib import Path

import datasets
import pytest

import microg4m_hf
from microg4m_hf.errors import DataError, MicroG4MError
from tests.support.fake_release import FakeRelease, make_release
from tests.support.warm_python import warm_python


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> FakeRelease:
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    return make_release(tmp_path_factory.mktemp("release"), sources=3, clips=3)


def test_the_signature_is_the_promised_one() -> None:
    parameters = inspect.signature(microg4m_hf.load_dataset).parameters.values()
    assert [(p.name, p.default) for p in parameters] == [
        ("config", inspect.Parameter.empty),
        ("split", None),
        ("data_dir", None),
        ("source", None),
        ("revision", None),
        ("scheme", "official"),
        ("domain", None),
        ("videos", True),
        ("streaming", False),
        ("num_proc", None),
        ("on_error", "raise"),
    ]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters)[1:])


@pytest.mark.parametrize("num_proc", [0, -1, "2"])
def test_invalid_number_of_processes(num_proc: object) -> None:
    with pytest.raises(DataError, match="num_proc= must be a number of processes"):
        microg4m_hf.load_dataset("har", source="sample", num_proc=num_proc)  # type: ignore[arg-type]


WRONG = [
    ({"config": "actions"}, "unknown config: 'actions' .*'har', 'caption' or 'vqa'"),
    ({"config": None}, "no config is named .*'har', 'caption', 'vqa'"),
    ({"config": "har", "scheme": "random"}, "unknown scheme: 'random' .*'official' or 'source_disjoint'"),
    ({"config": "vqa", "domain": "film"}, "unknown domain: 'film' .*'movie' or 'real'"),
    ({"config": "vqa", "on_error": "ignore"}, "unknown on_error: 'ignore' .*'raise' or 'skip'"),
    ({"config": "vqa", "videos": "no"}, "videos= must be True or False: 'no'"),
    ({"config": "vqa", "split": "train"}, "one split 'test'.*scheme="),
    ({"config": "vqa", "split": "train[:10]"}, "one split 'test'.*scheme="),
    ({"config": "har", "split": "dev"}, "dev.*train"),
    ({"config": "har", "split": "dev", "streaming": True}, "dev.*train"),
    ({"config": "vqa", "split": "train", "streaming": True}, "one split 'test'.*scheme="),
    ({"config": "har", "data_dir": "/no/such/folder"}, "'?/no/such/folder'? is not a folder"),
    ({"config": "har", "source": "sample"}, "data_dir= and source= exclude each other"),
    ({"config": "har", "revision": "v1"}, "data_dir= and revision= exclude each other"),
]


@pytest.mark.parametrize(("options", "answer"), WRONG, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("by_name", [False, True], ids=["function", "bare name"])
def test_invalid_arguments(release: FakeRelease, options: dict, answer: str, by_name: bool) -> None:
    arguments = {"data_dir": str(release.root), "videos": False, **options}
    with pytest.raises(MicroG4MError, match=answer):
        if by_name:
            config = arguments.pop("config")
            datasets.load_dataset("microg4m", config, **arguments)
        else:
            microg4m_hf.load_dataset(**arguments)


def test_the_error_for_an_unknown_argument_lists_the_known_ones() -> None:
    with pytest.raises(MicroG4MError, match=r"unknown argument: 'domian' \(use source, revision, scheme, domain, "):
        datasets.load_dataset("microg4m", "har", source="sample", domian="real")


def test_streaming_refuses_num_proc() -> None:
    with pytest.raises(MicroG4MError, match="streaming=True"):
        microg4m_hf.load_dataset("har", source="sample", streaming=True, num_proc=2)


def test_errors_in_the_files_reach_the_user_unchanged(tmp_path: Path) -> None:
    made = make_release(tmp_path, sources=3, clips=3)
    with open(made.files["actions.csv"], "a") as file:
        file.write("Film0_000,m,1,81\n")
    line = len(made.files["actions.csv"].read_text().splitlines())
    with pytest.raises(MicroG4MError, match=rf"actions\.csv, line {line}: .*81"):
        microg4m_hf.load_dataset("har", data_dir=tmp_path, videos=False)
    with pytest.warns(UserWarning, match="1 faults were left out"):
        rows = microg4m_hf.load_dataset("har", data_dir=tmp_path, videos=False, on_error="skip")
    with pytest.warns(UserWarning, match=rf"1 faults were left out.*line {line}"):  # from the cache as well
        rows = microg4m_hf.load_dataset("har", data_dir=tmp_path, videos=False, on_error="skip")
    assert f"line {line}" in rows["train"].info.description
    assert sum(map(len, rows.values())) == len(made.clips)


def test_without_data_names_and_features_are_still_known(tmp_path: Path) -> None:
    code = (
        "import datasets, microg4m_hf\n"
        "print(datasets.get_dataset_split_names('microg4m', 'har'))\n"
        "print(len(datasets.load_dataset_builder('microg4m', 'vqa').info.features))\n"
        "for streaming in (False, True):\n"
        "    try:\n"
        "        datasets.load_dataset('microg4m', 'caption', streaming=streaming)\n"
        "    except microg4m_hf.MicroG4MError as error:\n"
        "        print(type(error).__name__, 'data_dir=' in str(error), 'sample' in str(error))\n"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "MICROG4M_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([warm_python(), "-c", code], capture_output=True, text=True, env=offline, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "['train', 'validation', 'test']",
        "9",
        "SourceError True True",
        "SourceError True True",
    ], done.stderr


COUNTS = [
    ("har", {}, {"train": 3331, "validation": 475, "test": 953}),
    ("har", {"domain": "movie"}, 1332),
    ("har", {"domain": "real"}, 3427),
    ("har", {"scheme": "source_disjoint"}, 4759),
    ("caption", {}, {"test": 1238}),
    ("caption", {"scheme": "official"}, {"train": 854, "validation": 120, "test": 264}),
    ("vqa", {}, {"test": 7528}),
    ("vqa", {"scheme": "source_disjoint"}, 7528),
]


@pytest.mark.parametrize(("config", "options", "expected"), COUNTS, ids=lambda value: str(value))
def test_the_released_files(released: Path, config: str, options: dict, expected: dict | int) -> None:
    loaded = microg4m_hf.load_dataset(config, data_dir=released, videos=False, **options)
    counts = {split: len(rows) for split, rows in loaded.items()}
    assert expected == (counts if isinstance(expected, dict) else sum(counts.values()))


def test_the_released_persons_and_labels(released: Path) -> None:
    loaded = microg4m_hf.load_dataset("har", data_dir=released, videos=False)
    persons = [person for rows in loaded.values() for row in rows for person in row["persons"]]
    assert len(persons) == 5741
    assert sum(person["key_frame"] is not None for person in persons) == 5735
    assert sum(len(person["actions"]) for person in persons) == 13240
    assert max(len(row["persons"]) for rows in loaded.values() for row in rows) == 7
    assert {label for person in persons for label in person["actions"]} == set(range(50))


def test_the_released_questions(released: Path) -> None:
    questions = microg4m_hf.load_dataset("vqa", data_dir=released, videos=False, split="test")
    assert len(set(questions["question_id"])) == 7528
    assert questions["answerable"][:].count(False) == 752
    captions = microg4m_hf.load_dataset("caption", data_dir=released, videos=False, split="test")
    assert len(set(captions["video_id"])) == 1237
    assert set(captions["domain"]) == {"real"}
