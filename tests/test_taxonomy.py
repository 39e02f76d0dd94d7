"""The table of actions matches the released label map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from microg4m_hf import taxonomy


def test_equals_the_released_label_map(released: Path) -> None:
    text = (released / "label_map.pbtxt").read_text(encoding="utf-8")
    items = re.findall(r'name: "([^"]*)"\s+id: (\d+)\s+label_type: (\w+)', text)
    expected = {int(action_id): (name, taxonomy.RELEASED_GROUPS[group]) for name, action_id, group in items}
    assert {action.action_id: (action.name, action.group) for action in taxonomy.ACTIONS} == expected


def test_labels_are_ids_in_ascending_order() -> None:
    assert len(taxonomy.ACTIONS) == taxonomy.NUM_ACTIONS == 50
    assert list(taxonomy.ACTION_IDS) == sorted(set(taxonomy.ACTION_IDS))
    for action in taxonomy.ACTIONS:
        assert taxonomy.action_id_of(taxonomy.label_of(action.action_id)) == action.action_id


def test_groups_partition_the_labels() -> None:
    labels = [label for group in taxonomy.GROUPS for label in taxonomy.labels_of_group(group)]
    assert sorted(labels) == list(range(50))


def test_unknown_ids_labels_and_groups_raise_an_error() -> None:
    with pytest.raises(KeyError, match="unknown action id 2"):
        taxonomy.label_of(2)
    with pytest.raises(IndexError, match="50 is outside"):
        taxonomy.action_id_of(50)
    with pytest.raises(KeyError, match="person movement"):
        taxonomy.labels_of_group("dance")
