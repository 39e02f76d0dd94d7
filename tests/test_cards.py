"""Every card is valid for the Hub, complete, and readable; each is rendered as the Hub shows it."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import microg4m_hf
from microg4m_hf.curate import CurateSettings
from microg4m_hf.curate.dataset_card import render_dataset_card
from microg4m_hf.curate.work import Source
from microg4m_hf.data.publish.card import card_facts, draw_card_pictures, render_card
from microg4m_hf.data.publish.plan import Publication, PublishedFile, read_publication
from microg4m_hf.data.publish.shards import SHARD_BYTES
from microg4m_hf.errors import DataError
from microg4m_hf.metrics import har_scores
from microg4m_hf.metrics.spaces import metric_folders
from tests.support import cards
from tests.support.axe import axe_script, violations
from tests.support.browser import Browser, chromium

FILES = {
    "clips/official-train.disjoint-train-00000-of-00001.parquet": PublishedFile("00", 35, 10, 9),
    "clips/official-test.disjoint-test-00000-of-00001.parquet": PublishedFile("11", 10, 8, 7),
    "caption/test.parquet": PublishedFile("22", 30, 8, 7),
}


@pytest.fixture(scope="module")
def publication() -> Publication:
    return read_publication(data_dir=None, source="sample", revision=None, on_error="raise", shard_bytes=SHARD_BYTES)


@pytest.fixture(scope="module")
def pictures(publication: Publication, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return draw_card_pictures(publication, tmp_path_factory.mktemp("pictures"))


def write_dataset_card(publication: Publication, pictures: dict[str, bytes], folder: Path) -> None:
    for name, content in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "README.md").write_text(render_card(card_facts("me/MicroG-4M", publication), FILES, pictures))


def curated_release(publication: Publication, folder: Path) -> Publication:
    """The sample as a release of `microg4m curate`, with the licenses of its films."""
    folder.mkdir()
    films = [Source("Apollo", "a.mp4", "", domain="real", license="public-domain", attribution="NASA | <b>archive</b>"),
             Source("Tour", "b.mp4", "", domain="real", license="CC-BY-4.0", url="https://example.org/b")]  # fmt: skip
    card = render_dataset_card("My clips", CurateSettings(), films, Counter({"Apollo": 3, "Tour": 2}), people=4,
                               splits={"train": (3, 1), "test": (2, 1)}, reasons={"kept": 5}, reviewed="")  # fmt: skip
    (folder / "README.md").write_text(card, encoding="utf-8")
    (folder / "curation.json").write_text("{}")
    return dataclasses.replace(publication, root=folder, source=None)


def write_run_card(folder: Path) -> None:
    from microg4m_hf.training.card import write_model_card
    from microg4m_hf.training.recipe_io import load_recipe

    truth = microg4m_hf.load_dataset("har", split="test", source="sample", videos=False)
    perfect = [
        {"video_id": clip["video_id"], "frame": person["key_frame"], "boxes": [person["key_box"]],
         "scores": [[float(label in person["actions"]) for label in range(50)]]}
        for clip in truth for person in clip["persons"]
    ]  # fmt: skip
    test: Any = har_scores(perfect, truth, resamples=0) | {"chance_map": 0.1}
    summary = {"test": test, "validation_map": 0.5, "best_step": 4, "steps": 9, "skipped_clips": 0}
    write_model_card(load_recipe("demo"), summary, folder)


def write_adapter(folder: Path) -> None:
    from microg4m_hf.training.card import write_adapter_card
    from microg4m_hf.training.recipe import VlmRecipe

    write_adapter_card(VlmRecipe(name="lora", model="Qwen/Qwen2.5-VL-7B-Instruct", scheme="official"), 400, 0.5, folder)


@pytest.fixture(scope="module")
def repositories(
    publication: Publication, pictures: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, str]]:
    """Name -> the files of a repository, without the large ones, and its kind."""
    from microg4m_hf import models
    from microg4m_hf.bench.explorer import export_space
    from microg4m_hf.models.hub_files import write_hub_card

    root = tmp_path_factory.mktemp("cards")
    write_dataset_card(publication, pictures, root / "sample")
    write_dataset_card(dataclasses.replace(publication, source=None), pictures, root / "authors")
    write_dataset_card(curated_release(publication, root / "release"), pictures, root / "curated")
    for name in ("run", "adapter", "network"):
        (root / name).mkdir()
    write_run_card(root / "run")
    write_adapter(root / "adapter")
    write_hub_card(models.create("tiny_slow"), "me/tiny", root / "network" / "README.md")
    export_space(root / "explorer")
    kinds = {"sample": "dataset", "authors": "dataset", "curated": "dataset", "release": "dataset", "explorer": "space"}
    found = {path.name: (path, kinds.get(path.name, "model")) for path in sorted(root.iterdir())}
    for folder in metric_folders():
        shutil.copytree(folder, root / folder.name)
        found[folder.name] = (root / folder.name, "space")
    return found


def test_every_card_is_valid_and_complete(repositories: dict[str, tuple[Path, str]]) -> None:
    assert len(repositories) == 11
    found = {name: cards.faults_of_card(*place) for name, place in repositories.items()}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_faults_are_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\nlicense: My Terms\n---\n# A\n\n### B\n\n| | x |\n| --- | --- |\n| 1 | 2 |\n\n![](gone.png) {left}\n\n"
        f"```\n{'x' * 89}\n```\n"
    )
    assert len(cards.faults_of_card(tmp_path, "model")) == 7


def test_a_copy_of_the_sample_says_so(repositories: dict[str, tuple[Path, str]]) -> None:
    fields, text = (cards.split_card(repositories[name][0])[part] for name, part in (("sample", 0), ("sample", 1)))
    assert yaml.safe_load(fields)["license"] == "apache-2.0" and "drawn, not filmed" in text
    assert "the authors' work" not in text


def test_a_curated_release_keeps_the_licenses_of_its_films(
    publication: Publication, repositories: dict[str, tuple[Path, str]], tmp_path: Path
) -> None:
    fields, text = cards.split_card(repositories["curated"][0])
    meta = yaml.safe_load(fields)
    assert (meta["pretty_name"], meta["license"]) == ("My clips", "other")
    assert "| Apollo | real | 3 | public-domain | – | NASA \\| &lt;b&gt;archive&lt;/b&gt; |" in text
    assert "CC-BY-4.0](https://creativecommons.org" not in text and "@inproceedings" not in text
    release = curated_release(publication, tmp_path / "release")
    (release.root / "README.md").write_text("---\nlicense: other\n---\n# My clips\n")
    with pytest.raises(DataError, match="does not say where its clips come from"):
        card_facts("me/clips", release)


def test_the_pictures_show_what_is_published(repositories: dict[str, tuple[Path, str]]) -> None:
    labels = (repositories["sample"][0] / "assets" / "actions.svg").read_text(encoding="utf-8")
    occurring = labels.count('text-anchor="end"')
    assert f"{occurring} of the 50 actions occur" in cards.split_card(repositories["sample"][0])[1]
    precision = (repositories["run"][0] / "average_precision.svg").read_text(encoding="utf-8")
    assert precision.count(">100.0 (") == precision.count('text-anchor="end"') == 10
    assert "40 of the 50 actions do not occur" in cards.split_card(repositories["run"][0])[1].replace("\n", " ")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.mark.skipif(chromium() is None, reason="no Chromium; apt-get install chromium")
def test_rendered_cards_show_their_pictures_and_are_accessible(
    repositories: dict[str, tuple[Path, str]], browser: Browser
) -> None:
    script = axe_script()
    for name, (folder, _) in repositories.items():
        browser.open(cards.render_card(folder), width=1000)
        broken = "[...document.images].filter(one => !one.naturalWidth).map(one => one.src)"
        assert browser.evaluate(broken) == [], name
        # The pane of code is scrolled with the keyboard on the Hub; here it is the plain element.
        found = [one for one in violations(browser, script) if one["rule"] != "scrollable-region-focusable"]
        assert [one for one in found if one["impact"] in ("serious", "critical")] == [], name
        if folder_of_pictures := os.environ.get("MICROG4M_SCREENSHOTS"):
            browser.screenshot(Path(folder_of_pictures) / f"card_{name}.png")
