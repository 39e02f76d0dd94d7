"""The 50 actions of MicroG-4M: id, name, group, label, and the corresponding class of AVA.

``action_id`` is the AVA-style id in the released files (1..80, 50 of them used); ``label`` is the index 0..49 of a
model's output, in the order of the ids.

>>> ACTIONS[0].name, ACTIONS[0].action_id, ACTIONS[0].label
('bend/bow (at the waist)', 1, 0)
>>> label_of(80), action_id_of(49)
(49, 80)
"""

from __future__ import annotations

from typing import Literal, NamedTuple

MOVEMENT = "person movement"
MANIPULATION = "object manipulation"
INTERACTION = "person interaction"
GROUPS = (MOVEMENT, MANIPULATION, INTERACTION)

# The spelling of the groups in the released label map.
RELEASED_GROUPS = {
    "PERSON_MOVEMENT": MOVEMENT,
    "OBJECT_MANIPULATION": MANIPULATION,
    "PERSON_INTERACTION": INTERACTION,
}


class Action(NamedTuple):
    """One action class."""

    action_id: int
    label: int
    name: str
    group: str
    ava_name: str  # the class with the same id in AVA v2.2
    ava_relation: Literal["same", "widened", "replaced"]


_TABLE = (
    (1, "bend/bow (at the waist)", MOVEMENT),
    (3, "crouch/kneel", MOVEMENT),
    (5, "fall down", MOVEMENT),
    (6, "get up", MOVEMENT),
    (7, "jump/leap", MOVEMENT),
    (8, "lie/sleep", MOVEMENT),
    (9, "martial art", MOVEMENT),
    (10, "run/jog", MOVEMENT),
    (11, "sit", MOVEMENT),
    (12, "stand", MOVEMENT),
    (14, "walk", MOVEMENT),
    (17, "carry/hold (an object)", MANIPULATION),
    (20, "climb (e.g., a mountain)", MANIPULATION),
    (22, "close (e.g., a door, a box)", MANIPULATION),
    (24, "cut", MANIPULATION),
    (26, "dress/undress clothing", MANIPULATION),
    (27, "drink", MANIPULATION),
    (28, "operate spaceship", MANIPULATION),
    (29, "eat", MANIPULATION),
    (30, "enter", MANIPULATION),
    (34, "hit (an object)", MANIPULATION),
    (36, "lift/pick up", MANIPULATION),
    (38, "open (e.g., a window, a car door)", MANIPULATION),
    (41, "play musical instrument", MANIPULATION),
    (43, "point to (an object)", MANIPULATION),
    (45, "pull (an object)", MANIPULATION),
    (46, "push (an object)", MANIPULATION),
    (47, "put down", MANIPULATION),
    (48, "read", MANIPULATION),
    (56, "take a photo", MANIPULATION),
    (57, "text on/look at a cellphone", MANIPULATION),
    (58, "throw", MANIPULATION),
    (59, "touch (an object)", MANIPULATION),
    (60, "turn (e.g., a screwdriver)", MANIPULATION),
    (61, "watch (e.g., TV)/any unspecified action", MANIPULATION),
    (62, "work on a computer", MANIPULATION),
    (63, "write", MANIPULATION),
    (64, "fight/hit (a person)", INTERACTION),
    (65, "give/serve (an object) to (a person)", INTERACTION),
    (66, "grab (a person)", INTERACTION),
    (67, "hand clap", INTERACTION),
    (68, "hand shake", INTERACTION),
    (69, "hand wave", INTERACTION),
    (70, "hug (a person)", INTERACTION),
    (72, "kiss (a person)", INTERACTION),
    (74, "listen to (a person)", INTERACTION),
    (76, "push (another person)", INTERACTION),
    (78, "take (an object) from (a person)", INTERACTION),
    (79, "talk to (e.g., self, a person, a group)", INTERACTION),
    (80, "watch (a person)", INTERACTION),
)

# AVA ids with another meaning in the release. "widened" still covers the AVA class, "replaced" does not.
_AVA_CHANGED: dict[int, tuple[str, Literal["widened", "replaced"]]] = {
    26: ("dress/put on clothing", "widened"),
    28: ("drive (e.g., a car, a truck)", "replaced"),
    61: ("watch (e.g., TV)", "widened"),
}


ACTIONS: tuple[Action, ...] = tuple(
    Action(action_id, label, name, group, *_AVA_CHANGED.get(action_id, (name, "same")))
    for label, (action_id, name, group) in enumerate(_TABLE)
)
ACTION_IDS: tuple[int, ...] = tuple(action.action_id for action in ACTIONS)
ACTION_NAMES: tuple[str, ...] = tuple(action.name for action in ACTIONS)
NUM_ACTIONS = len(ACTIONS)
NUM_AVA_CLASSES = 80

_LABEL_OF = {action.action_id: action.label for action in ACTIONS}


def label_of(action_id: int) -> int:
    """Return the label of an action id, or raise a ``KeyError``.

    >>> label_of(12)
    9
    """
    try:
        return _LABEL_OF[action_id]
    except KeyError:
        raise KeyError(f"unknown action id {action_id!r}; MicroG-4M uses {list(ACTION_IDS)}") from None


def action_id_of(label: int) -> int:
    """Return the action id of a label, or raise an ``IndexError``.

    >>> action_id_of(9)
    12
    """
    if not 0 <= label < NUM_ACTIONS:
        raise IndexError(f"label {label!r} is outside 0..{NUM_ACTIONS - 1}")
    return ACTION_IDS[label]


def labels_of_group(group: str) -> tuple[int, ...]:
    """Return the labels of one group, or raise a ``KeyError``.

    >>> len(labels_of_group(MOVEMENT))
    11
    """
    if group not in GROUPS:
        raise KeyError(f"unknown group {group!r}; the groups are {list(GROUPS)}")
    return tuple(action.label for action in ACTIONS if action.group == group)


# The classes of AVA v2.2 that MicroG-4M does not use.
_AVA_UNUSED = {
    2: "crawl", 4: "dance", 13: "swim", 15: "answer phone", 16: "brush teeth", 18: "catch (an object)", 19: "chop",
    21: "clink glass", 23: "cook", 25: "dig", 31: "exit", 32: "extract", 33: "fishing", 35: "kick (an object)",
    37: "listen (e.g., to music)", 39: "paint", 40: "play board game", 42: "play with pets", 44: "press",
    49: "ride (e.g., a bike, a car, a horse)", 50: "row boat", 51: "sail boat", 52: "shoot", 53: "shovel", 54: "smoke",
    55: "stir", 71: "kick (a person)", 73: "lift (a person)", 75: "play with kids",
    77: "sing to (e.g., self, a person, a group)",
}  # fmt: skip


def ava_names() -> list[str]:
    """Return the 80 classes of AVA v2.2 in the order of a zero-shot model's outputs: output j is AVA id j + 1.

    >>> names = ava_names()
    >>> len(names), names[11], names[12]
    (80, 'stand', 'swim')
    """
    names = dict(_AVA_UNUSED) | {action.action_id: action.ava_name for action in ACTIONS}
    return [names[action_id] for action_id in range(1, NUM_AVA_CLASSES + 1)]
