"""Decide what happens in each clip of the sample: who floats where, in which shirt, doing what.

Postures, hands and faces are dealt from shuffled decks, split by split, so that every action has its share of training
and test persons. Shirts and cabins are drawn independently, so that they do not reveal the action.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

FPS = 30
NUM_FRAMES = 90
ASPECT = 854 / 480

# What an astronaut does -> released action id. "free" hands and a "calm" face have no label.
POSTURES = {"stand": 12, "walk": 14, "jump": 7, "sit": 11}
HANDS = {"free": None, "carry": 17, "touch": 59, "computer": 62, "wave": 69}
FACES = {"calm": None, "talk": 79, "watch": 80}
# With ``lying`` people do one of these and nothing else. Two straps of a sleeping bag tell them apart and, in upright
# scenes, the direction in which the body lies.
LYING = {"idle": 12, "sleep": 8}

SHIRTS = ("red", "green", "blue", "purple", "brown", "black")
ITEMS = ("striped box", "round bag")
CABINS = ("window", "lockers", "bags", "screens", "hatch")

# source -> (domain, released numbers of its five clips: runs of neighbors with gaps, as cutting leaves them)
SOURCES: dict[str, tuple[str, tuple[int, ...]]] = {
    "cabinCam_01": ("real", (0, 1, 2, 7, 8)),
    "cabinCam_02": ("real", (3, 4, 5, 6, 12)),
    "cabinCam_03": ("real", (11, 12, 13, 20, 21)),
    "cabinCam-04": ("real", (1, 2, 9, 10, 11)),
    "cabinCam-05": ("real", (30, 31, 32, 33, 34)),
    "cabinCam-06": ("real", (5, 6, 104, 105, 106)),
    "ColdOrbit": ("movie", (14, 15, 16, 40, 41)),
    "DriftHome": ("movie", (2, 3, 4, 5, 19)),
    "TheLongRoll": ("movie", (61, 62, 63, 64, 70)),
    "Airlock9": ("movie", (8, 9, 10, 25, 26)),
}
LETTERBOX = {"real": 0.0, "movie": 0.1}  # share of the height that a bar hides, above and below
REACH = 0.61  # no part of a body is farther from its middle, in astronaut heights
_PERSONS_IN_CLIP = (1, 2, 2, 3, 2, 2, 3, 2, 1, 3)  # dealt in turn: 21 persons in ten clips
# Annotated frames: mostly 10 to 90, but a tracker sometimes finds a person late or loses one early.
_TRACKS = ((10, 90), (10, 90), (10, 90), (10, 90), (30, 90), (10, 76))

Behavior = tuple[str, str, str]  # posture, hands, face


@dataclass(frozen=True)
class Astronaut:
    """One person of a clip. Lengths are in frame heights, angles in degrees (clockwise), times in seconds."""

    person_id: int
    shirt: str
    posture: str
    hands: str
    face: str
    item: str  # what "carry" carries
    watches: int | None  # person_id that a "watch" face looks at
    side: int  # +1: the free side is to the right in the frame, -1: to the left
    height: float
    x: float
    y: float
    drift: tuple[float, float]  # amplitude of the floating
    phase: float  # 0 to 1, shifts every cycle of this astronaut
    angle: float  # at the first frame
    spin: float  # degrees a second
    first_frame: int  # annotated frames, 1-based, both ends included
    last_frame: int

    @property
    def action_ids(self) -> tuple[int, ...]:
        """Released ids of the actions, ascending."""
        ids = ((POSTURES | LYING)[self.posture], HANDS[self.hands], FACES[self.face])
        return tuple(sorted(action for action in ids if action is not None))

    @property
    def key_frame(self) -> int:
        """The middle of the annotated frames; their count is odd, so there is no tie."""
        return (self.first_frame + self.last_frame) // 2


@dataclass(frozen=True)
class Scene:
    """One clip before it is drawn."""

    video_id: str
    source: str
    domain: str
    split: str
    cabin: str
    pan: float  # speed of the camera, frame heights a second
    astronauts: tuple[Astronaut, ...]


def scenes(*, upright: bool = False, lying: bool = False) -> list[Scene]:
    """Return all clips of the sample, in the order of the released files.

    Args:
        upright: Leave out every rotation.
        lying: People stand or lie asleep and do nothing else.

    Example:
        >>> len(scenes()), scenes()[0].video_id
        (50, 'Airlock9_008')
    """
    clips = [
        (source, domain, number, split)
        for source, (domain, numbers) in SOURCES.items()
        for number, split in zip(numbers, _split_source(source), strict=True)
    ]
    found: list[Scene] = []
    for split in ("test", "val", "train"):
        own = [clip for clip in clips if clip[3] == split]
        counts = [_PERSONS_IN_CLIP[index % len(_PERSONS_IN_CLIP)] for index in range(len(own))]
        counts = StableRandom("persons", split).shuffled(counts)
        for (source, domain, number, _), behaviors in zip(own, _deal_behaviors(split, counts, lying), strict=True):
            cabin = CABINS[list(SOURCES).index(source) % len(CABINS)]
            found.append(_make_scene(source, domain, number, split, cabin, behaviors, upright=upright))
    return sorted(found, key=lambda scene: scene.video_id)


def practice_scenes(count: int, *, upright: bool = False, lying: bool = False) -> list[Scene]:
    """Return the first ``count`` of an endless series of other scenes, drawn by the same rules, for training.

    Each is a source of its own that the sample lacks, so none is a neighbor of a clip. ``upright`` and ``lying`` are as
    for :func:`scenes`.

    >>> [scene.video_id for scene in practice_scenes(2)]
    ['practice0000_000', 'practice0001_000']
    """
    found = []
    for number in range(count):
        source = f"practice{number:04d}"
        rng = StableRandom(source)
        persons = rng.choice((1, 2, 2, 3))
        faces = [face for face in FACES if persons > 1 or face != "watch"]  # nobody to watch in a clip of one person
        behaviors = [(rng.choice(list(POSTURES)), rng.choice(list(HANDS)), rng.choice(faces)) for _ in range(persons)]
        if lying:
            behaviors = [(rng.choice(list(LYING)), "free", "calm") for _ in range(persons)]
        found.append(_make_scene(source, "real", 0, "train", rng.choice(CABINS), behaviors, upright=upright))
    return found


def _split_source(source: str) -> list[str]:
    """Return the official splits of a source's five clips: by clip, so that sources leak as they do in the release."""
    has_validation = list(SOURCES).index(source) % 2 == 0
    splits = ["test", "val" if has_validation else "train", "train", "train", "train"]
    return StableRandom("split", source).shuffled(splits)


def _deal_behaviors(split: str, counts: list[int], lying: bool) -> list[list[Behavior]]:
    """Return the behavior of every person of every clip of a split; nobody watches in a clip of one person."""
    total = sum(counts)
    decks = []
    kinds: tuple[Collection[str], ...] = (LYING, ("free",), ("calm",)) if lying else (POSTURES, HANDS, FACES)
    for name, values in zip(("posture", "hands", "face"), kinds, strict=True):
        cards = (list(values) * (total // len(values) + 1))[:total]
        decks.append(StableRandom("deck", name, split).shuffled(cards))
    postures, hands, faces = decks
    in_company = [count > 1 for count in counts for _ in range(count)]
    # A single person that drew "watch" swaps faces with the next person in company that did not.
    for single in range(total):
        if faces[single] == "watch" and not in_company[single]:
            other = next(i for i in range(total) if in_company[i] and faces[i] != "watch")
            faces[single], faces[other] = faces[other], faces[single]
    people = iter(zip(postures, hands, faces, strict=True))
    return [[next(people) for _ in range(count)] for count in counts]


def _make_scene(
    source: str, domain: str, number: int, split: str, cabin: str, behaviors: list[Behavior], *, upright: bool = False
) -> Scene:
    """Return a clip of people with these behaviors; everything else is drawn from its name."""
    video_id = f"{source}_{number:03d}"
    rng = StableRandom("scene", video_id)
    shirts = rng.shuffled(SHIRTS)
    lane = ASPECT / len(behaviors)
    visible = 1 - 2 * LETTERBOX[domain]
    astronauts = []
    for index, (posture, hands, face) in enumerate(behaviors):
        own = StableRandom("figure", video_id, index)
        height = min(lane, visible) / (2 * REACH) * own.uniform(0.92, 1.0)
        room = (lane / 2 - REACH * height, visible / 2 - REACH * height)
        others = [other + 1 for other in range(len(behaviors)) if other != index]
        first, last = own.choice(_TRACKS)
        astronauts.append(
            Astronaut(
                person_id=index + 1,
                shirt=shirts[index],
                posture=posture,
                hands=hands,
                face=face,
                item=own.choice(ITEMS),
                watches=own.choice(others) if face == "watch" else None,
                side=own.sign(),
                height=height,
                x=lane * (index + 0.5),
                y=0.5,
                drift=(min(max(room[0], 0.01), 0.12), min(max(room[1], 0.01), 0.05)),
                phase=own.random(),
                angle=(90.0 * own.sign() if posture == "sleep" else 0.0) if upright else own.uniform(0, 360),
                spin=0.0 if upright else own.sign() * own.uniform(25, 60),
                first_frame=first,
                last_frame=last,
            )
        )
    pan = rng.sign() * rng.uniform(0.04, 0.10)
    return Scene(video_id, source, domain, split, cabin, pan, tuple(astronauts))


class StableRandom:
    """A stream of random numbers, seeded by words, that is the same on every machine, Python and numpy.

    Only ``random.Random(str)`` and its ``random()`` are used. Python keeps these two stable across versions, unlike
    ``choice`` or ``shuffle``.

    >>> StableRandom("clip", 3).randrange(1000) == StableRandom("clip", 3).randrange(1000)
    True
    """

    def __init__(self, *words: object) -> None:
        self.random = random.Random("/".join(str(word) for word in words)).random

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def randrange(self, count: int) -> int:
        return int(self.random() * count)

    def choice(self, items: Sequence[T]) -> T:
        return items[self.randrange(len(items))]

    def sign(self) -> int:
        return 1 if self.random() < 0.5 else -1

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(self.randrange(len(left))) for _ in range(len(left))]
