"""The dataset card lists only splits that exist, and the version of a config follows its content."""

from __future__ import annotations

from collections import defaultdict

import yaml

from microg4m_hf.data.publish.card import EVAL_YAML, TEMPLATE, render_card
from microg4m_hf.data.publish.plan import PublishedFile

TRAIN = "clips/official-train.disjoint-train-00000-of-00001.parquet"
TEST = "clips/official-test.disjoint-train-00000-of-00001.parquet"
FACTS: dict[str, object] = defaultdict(lambda: "7")


def metadata_of(files: dict[str, PublishedFile]) -> dict[str, list[dict[str, object]]]:
    return yaml.safe_load(render_card(FACTS, files).split("---\n")[1])


def test_splits_and_configs_without_files_are_left_out() -> None:
    metadata = metadata_of({TRAIN: PublishedFile("00", 3, 10, 9), TEST: PublishedFile("11", 2, 8, 7)})
    assert [config["config_name"] for config in metadata["configs"]] == ["har", "har_source_disjoint"]
    splits = [[one["split"] for one in config["data_files"]] for config in metadata["configs"]]  # type: ignore[attr-defined]
    assert splits == [["train", "test"], ["train"]]
    disjoint = metadata["dataset_info"][1]
    assert disjoint["splits"] == [{"name": "train", "num_bytes": 16, "num_examples": 5}]
    assert disjoint["download_size"] == 18


def test_the_version_of_a_config_follows_its_own_content() -> None:
    texts = {"caption/test.parquet": PublishedFile("22", 1, 1, 1), "vqa/test.parquet": PublishedFile("33", 1, 1, 1)}
    changed = texts | {"vqa/test.parquet": PublishedFile("44", 1, 1, 1)}
    before, after = (
        {config["config_name"]: config["version"] for config in metadata_of(files)["configs"]}
        for files in (texts, changed)
    )
    assert before["caption"] == after["caption"] and before["vqa"] != after["vqa"]


def test_the_tasks_of_eval_yaml_are_configs_of_the_card() -> None:
    configs = {
        config["config_name"]: config for config in yaml.safe_load(TEMPLATE.read_text().split("---\n")[1])["configs"]
    }
    tasks = yaml.safe_load(EVAL_YAML.read_text())["tasks"]
    assert {task["id"] for task in tasks} == {"har-map50", "caption-cider", "vqa-svqa"}
    for task in tasks:
        assert task["split"] in {one["split"] for one in configs[task["config"]]["data_files"]}
