"""What happens in each clip of the sample: who floats where, in which shirt, doing what.

Postures, hands and faces are dealt from shuffled decks, split by split, so that every action has its share of
training and test persons;
shirts and cabins are drawn apart from them, so that they give no action away.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Random draws that come out the same on every machine, Python and numpy.

T = TypeVar("T")


class Dice:
    """A stream of draws named by words; equal words give equal draws for ever.

    Only ``random.Random(str)`` and its ``random()`` are used: Python promises those two across versions, unlike
    ``choice`` or ``shuffle``.

    >>> Dice("clip", 3).whole(1000) == Dice("clip", 3).whole(1000)
    True
    """

    def __init__(self, *words: object) -> None:
        self._stream = random.Random("/".join(str(word) for word in words))

    def unit(self) -> float:
        """A number from 0 up to, not including, 1."""
        return self._stream.random()

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.unit()

    def whole(self, count: int) -> int:
        """One of 0 .. count-1."""
        return int(self.unit() * count)

    def pick(self, items: Sequence[T]) -> T:
        return items[self.whole(len(items))]

    def sign(self) -> int:
        return 1 if self.unit() < 0.5 else -1

    def shuffled(self, items: Sequence[T]) -> list[T]:
        left = list(items)
        return [left.pop(self.whole(len(left))) for _ in range(len(left))]


FPS = 30
NUM_FRAMES = 90
ASPECT = 854 / 480

# What a figure does -> released action id. "free" hands and a "calm" face carry no label.
POSTURES = {"stand": 12, "walk": 14, "jump": 7, "sit": 11}
HANDS = {"free": None, "carry": 17, "touch": 59, "computer": 62, "wave": 69}
FACES = {"calm": None, "talk": 79, "watch": 80}
# With ``lying`` people do one of these and nothing else; what tells them apart is two straps of a sleeping bag and,
# while gravity holds, which way the body lies.
LYING = {"idle": 12, "sleep": 8}

SHIRTS = ("red", "green", "blue", "purple", "brown", "black")
ITEMS = ("striped box", "round bag")
CABINS = ("window", "lockers", "bags", "screens", "hatch")

# source -> (domain, released numbers of its five clips: runs of neighbours with gaps, as cutting leaves them)
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
REACH = 0.61  # no part of a body is farther from its middle, in figure heights
_PERSONS_IN_CLIP = (1, 2, 2, 3, 2, 2, 3, 2, 1, 3)  # dealt in turn: 21 persons in ten clips
# Annotated frames: mostly 10..90, but a tracker sometimes finds a person late or loses one early.
_TRACKS = ((10, 90), (10, 90), (10, 90), (10, 90), (30, 90), (10, 76))


@dataclass(frozen=True)
class Figure:
    """One person of a clip. Lengths are in frame heights, angles in degrees (clockwise), times in seconds."""

    person_id: int
    shirt: str
    posture: str
    hands: str
    face: str
    item: str  # what "carry" carries
    watches: int | None  # person_id that a "watch" face looks at
    side: int  # +1: the free side is the figure's right of the picture, -1: left
    height: float
    x: float
    y: float
    drift: tuple[float, float]  # amplitude of the floating to and fro
    phase: float  # 0..1, shifts every cycle of this figure
    angle: float  # at the first frame
    spin: float  # degrees a second
    first_frame: int  # annotated frames, 1-based, both ends included
    last_frame: int

    @property
    def action_ids(self) -> tuple[int, ...]:
        """Released ids of what this figure does, ascending."""
        found = ((POSTURES | LYING)[self.posture], HANDS[self.hands], FACES[self.face])
        return tuple(sorted(action for action in found if action is not None))

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
    figures: tuple[Figure, ...]


def scenes(*, upright: bool = False, lying: bool = False) -> list[Scene]:
    """All clips of the sample, in the order of the released files.

    ``upright`` leaves out every rotation; ``lying`` has people stand or lie asleep and nothing else.

    >>> len(scenes()), scenes()[0].video_id
    (50, 'Airlock9_008')
    """
    places = [
        (source, domain, number, split)
        for source, (domain, numbers) in SOURCES.items()
        for number, split in zip(numbers, _splits(source), strict=True)
    ]
    found: list[Scene] = []
    for split in ("test", "val", "train"):
        mine = [place for place in places if place[3] == split]
        counts = [_PERSONS_IN_CLIP[index % len(_PERSONS_IN_CLIP)] for index in range(len(mine))]
        counts = Dice("persons", split).shuffled(counts)
        deeds = _deal(split, counts, lying)
        for (source, domain, number, _), doings in zip(mine, deeds, strict=True):
            cabin = CABINS[list(SOURCES).index(source) % len(CABINS)]
            found.append(scene_of(source, domain, number, split, cabin, doings, upright=upright))
    return sorted(found, key=lambda scene: scene.video_id)


def _splits(source: str) -> list[str]:
    """The official split of a source's five clips: by clip, so that sources leak as they do in the release."""
    has_validation = list(SOURCES).index(source) % 2 == 0
    splits = ["test", "val" if has_validation else "train", "train", "train", "train"]
    return Dice("split", source).shuffled(splits)


def _deal(split: str, counts: list[int], lying: bool) -> list[list[tuple[str, str, str]]]:
    """(posture, hands, face) for every person of every clip of a split; only company can be watched."""
    total = sum(counts)
    decks = []
    chosen: tuple[Collection[str], ...] = (LYING, ("free",), ("calm",)) if lying else (POSTURES, HANDS, FACES)
    for name, kinds in zip(("posture", "hands", "face"), chosen, strict=True):
        cards = (list(kinds) * (total // len(kinds) + 1))[:total]
        decks.append(Dice("deck", name, split).shuffled(cards))
    postures, hands, faces = decks
    company = [count > 1 for count in counts for _ in range(count)]
    # A lone figure that drew "watch" swaps faces with the next figure in company that did not.
    for alone in range(total):
        if faces[alone] == "watch" and not company[alone]:
            other = next(i for i in range(total) if company[i] and faces[i] != "watch")
            faces[alone], faces[other] = faces[other], faces[alone]
    people = iter(zip(postures, hands, faces, strict=True))
    return [[next(people) for _ in range(count)] for count in counts]


def scene_of(
    source: str,
    domain: str,
    number: int,
    split: str,
    cabin: str,
    doings: list[tuple[str, str, str]],
    *,
    upright: bool = False,
) -> Scene:
    """A clip of people whose ``(posture, hands, face)`` are given; all else is drawn from its name."""
    video_id = f"{source}_{number:03d}"
    dice = Dice("scene", video_id)
    shirts = dice.shuffled(SHIRTS)
    lane = ASPECT / len(doings)
    visible = 1 - 2 * LETTERBOX[domain]
    figures = []
    for index, (posture, hands, face) in enumerate(doings):
        own = Dice("figure", video_id, index)
        height = min(lane, visible) / (2 * REACH) * own.between(0.92, 1.0)
        room = (lane / 2 - REACH * height, visible / 2 - REACH * height)
        others = [other + 1 for other in range(len(doings)) if other != index]
        first, last = own.pick(_TRACKS)
        figures.append(
            Figure(
                person_id=index + 1,
                shirt=shirts[index],
                posture=posture,
                hands=hands,
                face=face,
                item=own.pick(ITEMS),
                watches=own.pick(others) if face == "watch" else None,
                side=own.sign(),
                height=height,
                x=lane * (index + 0.5),
                y=0.5,
                drift=(min(max(room[0], 0.01), 0.12), min(max(room[1], 0.01), 0.05)),
                phase=own.unit(),
                angle=(90.0 * own.sign() if posture == "sleep" else 0.0) if upright else own.between(0, 360),
                spin=0.0 if upright else own.sign() * own.between(25, 60),
                first_frame=first,
                last_frame=last,
            )
        )
    return Scene(
        video_id=video_id,
        source=source,
        domain=domain,
        split=split,
        cabin=cabin,
        pan=dice.sign() * dice.between(0.04, 0.10),
        figures=tuple(figures),
    )


# More scenes than the sample holds, for training on: drawn by the same rules, of sources that the sample lacks.

_PERSONS = (1, 2, 2, 3)
_ALONE = tuple(face for face in FACES if face != "watch")  # only company can be watched


def practice_scenes(count: int) -> list[Scene]:
    """The first ``count`` of an endless series; each is a source of its own, so none is a neighbour of a clip.

    >>> [scene.video_id for scene in practice_scenes(2)]
    ['practice0000_000', 'practice0001_000']
    """
    return [_scene(number) for number in range(count)]


def _scene(number: int) -> Scene:
    source = f"practice{number:04d}"
    dice = Dice(source)
    persons = dice.pick(_PERSONS)
    faces = tuple(FACES) if persons > 1 else _ALONE
    doings = [(dice.pick(tuple(POSTURES)), dice.pick(tuple(HANDS)), dice.pick(faces)) for _ in range(persons)]
    return scene_of(source, "real", 0, "train", dice.pick(CABINS), doings)
