"""Write captions and questions from the scene, so that they are true of the pixels."""

from __future__ import annotations

from .cabin import DESCRIPTIONS
from .world import Astronaut, Scene, StableRandom

NOT_MENTIONED = "Not mentioned."

_POSTURES = {
    "stand": "standing on a yellow foot rail",
    "walk": "walking on a turquoise treadmill",
    "jump": "jumping off a pink trampoline",
    "sit": "sitting on a purple seat",
    "idle": "standing",
    "sleep": "lying asleep under two straps",
}
_HANDS = {
    "carry": "holding a {item}",
    "touch": "tapping a floating control pad",
    "computer": "typing on a laptop",
    "wave": "waving one hand",
}
_COUNTS = {1: "One", 2: "Two", 3: "Three"}
_PLACES = {1: ("",), 2: ("on the left", "on the right"), 3: ("on the left", "in the middle", "on the right")}
# Questions about things that these clips do not show; the right answer is NOT_MENTIONED.
_UNSEEN = (
    "What is the name of {who}?",
    "Which space agency does {who} work for?",
    "What time of day was this video recorded?",
    "How long has {who} been in space?",
    "Which experiment is being prepared in the video?",
)


def caption(scene: Scene) -> str:
    """Return one or more sentences about the whole clip.

    >>> from .world import scenes
    >>> caption(scenes()[0]).split(".")[0]
    'Two astronauts float inside a spacecraft cabin in front of an open round hatch'
    """
    count = len(scene.astronauts)
    noun, verb = ("astronaut", "floats") if count == 1 else ("astronauts", "float")
    opening = f"{_COUNTS[count]} {noun} {verb} inside a spacecraft cabin in front of {DESCRIPTIONS[scene.cabin]}."
    return " ".join([opening, *(_sentence(scene, astronaut) for astronaut in scene.astronauts)])


def questions(scene: Scene) -> list[dict[str, str]]:
    """Return six questions with their answers, in the form of the release."""
    rng = StableRandom("questions", scene.video_id)
    astronauts = scene.astronauts
    index = rng.randrange(len(astronauts))
    subject, turning = astronauts[index], rng.choice(astronauts)
    place = _PLACES[len(astronauts)][index]
    posture = _POSTURES[subject.posture].replace("lying asleep", "sleeping")
    of_whom = f"the astronaut {place}" if place else "the astronaut"
    pairs = [
        ("How many astronauts are visible in the video?", f"{_COUNTS[len(astronauts)]}."),
        (f"What color is the shirt worn by {of_whom}?", _sentence_case(subject.shirt)),
        (f"In which direction does {_name(turning)} rotate?", _sentence_case(_rotation(turning))),
        _about_hands(rng.choice(astronauts), scene),
    ]
    others = [
        ("Who is talking in the video?", _names([one for one in astronauts if one.face == "talk"])),
        (f"What is {_name(subject)} doing?", _sentence_case(posture)),
        ("What can be seen on the wall of the cabin?", _sentence_case(DESCRIPTIONS[scene.cabin])),
        *(
            (f"Whom does {_name(one)} watch?", _sentence_case(_name(_watched(scene, one))))
            for one in astronauts
            if one.face == "watch"
        ),
    ]
    if rng.random() < 0.6:
        pairs += [rng.choice(others), (rng.choice(_UNSEEN).format(who=_name(subject)), NOT_MENTIONED)]
    else:
        pairs += rng.shuffled(others)[:2]
    return [{"Q": question, "A": answer} for question, answer in pairs]


def _sentence(scene: Scene, astronaut: Astronaut) -> str:
    doing = [_POSTURES[astronaut.posture]]
    if astronaut.hands != "free":
        doing.append(_HANDS[astronaut.hands].format(item=astronaut.item))
    if astronaut.face == "talk":
        doing.append("talking")
    elif astronaut.face == "watch":
        doing.append(f"watching {_name(_watched(scene, astronaut))} through binoculars")
    listed = " and ".join(part for part in (", ".join(doing[:-1]), doing[-1]) if part)
    article = "An" if astronaut.shirt[0] in "aeiou" else "A"
    still = "stays in place" if astronaut.angle else "stays upright"
    turning = f"rotates {_rotation(astronaut)}" if astronaut.spin else still
    return f"{article} {astronaut.shirt}-shirted astronaut {turning} while {listed}."


def _about_hands(astronaut: Astronaut, scene: Scene) -> tuple[str, str]:
    if astronaut.hands == "carry":
        return f"What is {_name(astronaut)} holding?", f"A {astronaut.item}."
    if astronaut.hands == "touch":
        return f"What is {_name(astronaut)} touching?", "A floating control pad."
    if astronaut.hands == "computer":
        return f"What device is {_name(astronaut)} working on?", "A laptop."
    return "Who is waving in the video?", _names([one for one in scene.astronauts if one.hands == "wave"])


def _names(astronauts: list[Astronaut]) -> str:
    return _sentence_case(" and ".join(map(_name, astronauts)) or "nobody")


def _sentence_case(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}."


def _name(astronaut: Astronaut) -> str:
    return f"the astronaut in the {astronaut.shirt} shirt"


def _watched(scene: Scene, astronaut: Astronaut) -> Astronaut:
    return next(one for one in scene.astronauts if one.person_id == astronaut.watches)


def _rotation(astronaut: Astronaut) -> str:
    return "not at all" if not astronaut.spin else "clockwise" if astronaut.spin > 0 else "counterclockwise"
