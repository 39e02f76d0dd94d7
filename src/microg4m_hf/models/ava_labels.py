"""Names of the 80 AVA v2.2 outputs of the zero-shot models; output column j is AVA id j + 1."""

from __future__ import annotations

from ..taxonomy import ACTIONS, NUM_AVA_CLASSES

# AVA actions that MicroG-4M does not use.
_OTHERS = {
    2: "crawl",
    4: "dance",
    13: "swim",
    15: "answer phone",
    16: "brush teeth",
    18: "catch (an object)",
    19: "chop",
    21: "clink glass",
    23: "cook",
    25: "dig",
    31: "exit",
    32: "extract",
    33: "fishing",
    35: "kick (an object)",
    37: "listen (e.g., to music)",
    39: "paint",
    40: "play board game",
    42: "play with pets",
    44: "press",
    49: "ride (e.g., a bike, a car, a horse)",
    50: "row boat",
    51: "sail boat",
    52: "shoot",
    53: "shovel",
    54: "smoke",
    55: "stir",
    71: "kick (a person)",
    73: "lift (a person)",
    75: "play with kids",
    77: "sing to (e.g., self, a person, a group)",
}


def ava_names() -> list[str]:
    """The 80 names in the order of the outputs.

    >>> names = ava_names()
    >>> len(names), names[11], names[12]
    (80, 'stand', 'swim')
    """
    names = dict(_OTHERS) | {action.action_id: action.ava_name for action in ACTIONS}
    return [names[action_id] for action_id in range(1, NUM_AVA_CLASSES + 1)]
