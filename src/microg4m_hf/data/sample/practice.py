"""More scenes than the sample holds, for training on: drawn by the same rules, of sources that the sample lacks."""

from __future__ import annotations

from .dice import Dice
from .world import CABINS, FACES, HANDS, POSTURES, Scene, scene_of

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
