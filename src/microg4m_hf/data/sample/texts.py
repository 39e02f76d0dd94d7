"""Captions and questions that are read off the scene, so that they are true of the pixels."""

from __future__ import annotations

from .cabin import DESCRIPTIONS
from .world import Dice, Figure, Scene

NOT_MENTIONED = "Not mentioned."

_POSTURES = {
    "stand": "standing on a yellow foot rail",
    "walk": "walking on a turquoise treadmill",
    "jump": "jumping off a pink trampoline",
    "sit": "sitting on a purple seat",
    "idle": "standing",
    "sleep": "lying asleep under two straps",
}
_POSTURE_ANSWERS = {
    "stand": "Standing on a yellow foot rail.",
    "walk": "Walking on a turquoise treadmill.",
    "jump": "Jumping off a pink trampoline.",
    "sit": "Sitting on a purple seat.",
    "idle": "Standing.",
    "sleep": "Sleeping under two straps.",
}
_COUNTS = {1: "One", 2: "Two", 3: "Three"}
_PLACES = {1: ("",), 2: ("on the left", "on the right"), 3: ("on the left", "in the middle", "on the right")}
# Things nobody can see in these clips: their right answer is that they are not mentioned.
_UNSEEN = (
    "What is the name of {who}?",
    "Which space agency does {who} work for?",
    "What time of day was this video recorded?",
    "How long has {who} been in space?",
    "Which experiment is being prepared in the video?",
)


def caption(scene: Scene) -> str:
    """One or more sentences about the whole clip.

    >>> from .world import scenes
    >>> caption(scenes()[0]).split(".")[0]
    'Two astronauts float inside a spacecraft cabin in front of an open round hatch'
    """
    count = len(scene.figures)
    noun, verb = ("astronaut", "floats") if count == 1 else ("astronauts", "float")
    opening = f"{_COUNTS[count]} {noun} {verb} inside a spacecraft cabin in front of {DESCRIPTIONS[scene.cabin]}."
    return " ".join([opening, *(_sentence(scene, figure) for figure in scene.figures)])


def questions(scene: Scene) -> list[dict[str, str]]:
    """Six questions with their answers, as the release writes them."""
    dice = Dice("questions", scene.video_id)
    figures = scene.figures
    index = dice.whole(len(figures))
    chosen, turning = figures[index], dice.pick(figures)
    place = _PLACES[len(figures)][index]
    of_whom = f"the astronaut {place}" if place else "the astronaut"
    pairs = [
        ("How many astronauts are visible in the video?", f"{_COUNTS[len(figures)]}."),
        (f"What color is the shirt worn by {of_whom}?", _sentence_case(chosen.shirt)),
        (f"In which direction does {_name(turning)} rotate?", _sentence_case(_rotation(turning))),
        _about_hands(dice.pick(figures), scene),
    ]
    others = [
        _about_talking(scene),
        (f"What is {_name(chosen)} doing?", _POSTURE_ANSWERS[chosen.posture]),
        (
            "What can be seen on the wall of the cabin?",
            f"{DESCRIPTIONS[scene.cabin].capitalize()}.".replace("earth", "Earth"),
        ),
        *(
            (f"Whom does {_name(one)} watch?", _sentence_case(_name(_watched(scene, one))))
            for one in figures
            if one.face == "watch"
        ),
    ]
    if dice.unit() < 0.6:
        pairs += [dice.pick(others), (dice.pick(_UNSEEN).format(who=_name(chosen)), NOT_MENTIONED)]
    else:
        pairs += dice.shuffled(others)[:2]
    return [{"Q": question, "A": answer} for question, answer in pairs]


def _sentence(scene: Scene, figure: Figure) -> str:
    doing = [_POSTURES[figure.posture]]
    if figure.hands == "carry":
        doing.append(f"holding a {figure.item}")
    elif figure.hands != "free":
        doing.append(
            {"touch": "tapping a floating control pad", "computer": "typing on a laptop", "wave": "waving one hand"}[
                figure.hands
            ]
        )
    if figure.face == "talk":
        doing.append("talking")
    elif figure.face == "watch":
        doing.append(f"watching {_name(_watched(scene, figure))} through binoculars")
    listed = " and ".join(part for part in (", ".join(doing[:-1]), doing[-1]) if part)
    article = "An" if figure.shirt[0] in "aeiou" else "A"
    still = "stays in place" if figure.angle else "stays upright"
    turning = f"rotates {_rotation(figure)}" if figure.spin else still
    return f"{article} {figure.shirt}-shirted astronaut {turning} while {listed}."


def _about_hands(figure: Figure, scene: Scene) -> tuple[str, str]:
    if figure.hands == "carry":
        return f"What is {_name(figure)} holding?", f"A {figure.item}."
    if figure.hands == "touch":
        return f"What is {_name(figure)} touching?", "A floating control pad."
    if figure.hands == "computer":
        return f"What device is {_name(figure)} working on?", "A laptop."
    waving = [one for one in scene.figures if one.hands == "wave"]
    return "Who is waving in the video?", _names(waving)


def _about_talking(scene: Scene) -> tuple[str, str]:
    talking = [one for one in scene.figures if one.face == "talk"]
    return "Who is talking in the video?", _names(talking)


def _names(figures: list[Figure]) -> str:
    if not figures:
        return "Nobody."
    return _sentence_case(" and ".join(_name(figure) for figure in figures))


def _sentence_case(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}."


def _name(figure: Figure) -> str:
    return f"the astronaut in the {figure.shirt} shirt"


def _watched(scene: Scene, figure: Figure) -> Figure:
    return next(one for one in scene.figures if one.person_id == figure.watches)


def _rotation(figure: Figure) -> str:
    if not figure.spin:
        return "not at all"
    return "clockwise" if figure.spin > 0 else "counterclockwise"
