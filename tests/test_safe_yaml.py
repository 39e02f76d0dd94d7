"""YAML of recipes and runs that comes from strangers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from microg4m_hf.cli.main import main
from microg4m_hf.errors import PredictionError, RecipeError
from microg4m_hf.safe_yaml import parse_yaml, read_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)
)
HOSTILE = {
    "alias bomb": (LAUGHS, "aliases expand to more than"),
    "alias inside itself": ("a: &a [*a]", "contains itself"),
    "deep brackets": ("[" * 5000, "nested more than"),
    "deep blocks": ("".join(" " * n + "a:\n" for n in range(60)), "nested more than"),
    "many values": (f"a: [{', '.join('1' for _ in range(9000))}]", "more than 2000 values"),
    "duplicate key": ("optim:\n  lr: 1\n  lr: 2", "the key 'lr' appears twice, again in line 3"),
    "duplicate key of a number": ("1: a\n1: b", "the key 1 appears twice"),
    "huge integer": ("a: " + "9" * 5000, "more than 40 digits"),
    "huge hexadecimal": ("a: 0x" + "f" * 5000, "more than 40 digits"),
    "huge sexagesimal": ("a: 1" + ":1" * 5000, "more than 40 digits"),
    "no integer": ("a: !!int x", "invalid literal"),
    "a date by its tag": ("a: !!timestamp x", "could not determine a constructor"),
    "an object": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "a list as key": ("? [a]\n: 1", "unhashable"),
    "two documents": ("a: 1\n---\nb: 2", "single document"),
    "NUL": ("a: \0", "special characters are not allowed"),
    "long": ("a: " + "x" * 100_000, "longer than"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_refused_in_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text, reason = HOSTILE[name]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    start = time.process_time()
    with pytest.raises(RecipeError, match=reason) as caught:
        read_yaml(recipe)
    assert time.process_time() - start < 10  # some of these take minutes or gigabytes
    assert len(str(caught.value)) < 600 and "\n" not in str(caught.value)
    assert main(["train", "har", "--config", str(recipe), "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and reason.split("(")[0] in shown and not (tmp_path / "run").exists()


def test_dates_and_byte_order_marks_are_text(tmp_path: Path) -> None:
    assert parse_yaml("a: 2026-99-99\nb: 2026-01-01") == {"a": "2026-99-99", "b": "2026-01-01"}
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1}
    (tmp_path / "b.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(PredictionError, match="not UTF-8"):
        read_yaml(tmp_path / "b.yaml", PredictionError)


def test_what_people_write_reads_as_with_pyyaml() -> None:
    text = """
    base: &base {lr: 0.1, steps: [0, 10], on: true, none: null}
    optim:
      <<: *base
      lr: 1.0e-3
    again: [*base, *base]
    odd: [0x1f, 1_000, .inf, 1:30, "a: b", 'x']
    """
    assert parse_yaml(text) == yaml.safe_load(text)
    shared = [1, 2]
    assert parse_yaml(yaml.safe_dump({"a": shared, "b": shared})) == {"a": [1, 2], "b": [1, 2]}  # dumped as an alias


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "recipes").rglob("*.yaml")), ids=lambda p: p.stem)
def test_our_recipes_read_as_with_pyyaml(path: Path) -> None:
    assert read_yaml(path) == yaml.safe_load(path.read_text())
