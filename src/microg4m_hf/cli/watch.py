"""`microg4m watch FILM`: follow people through a film and ask an action model what each of them does."""

from __future__ import annotations

import argparse
import json

from ..errors import RecipeError

_NOT_HERE = ("tracks.method", "tracks.camera_motion", "tracks.boxes")


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("film", metavar="FILM", help="any film")
    add("--out", metavar="FOLDER", default="watched", help="where the results are written (default: watched)")
    text = "an action model: a training run, a model folder, a Hub id; without it, people are only followed"
    add("--model", metavar="MODEL", help=text)
    add("--ask-every", type=float, default=1.0, metavar="S", help="seconds between two questions about a person")
    add("--top-k", type=int, default=3, help="actions per answer (default 3)")
    add("--threshold", type=float, default=0.2, help="less likely actions are not drawn (default 0.2)")
    add("--detector", metavar="NAME", help="a model of transformers by its Hub id or folder, or module:function")
    add("--every", type=int, default=3, metavar="N", help="look for people in every n-th of 30 frames a second (3)")
    add("--turns", type=int, default=4, choices=(1, 4), help="quarter turns in which people are looked for (4)")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="other settings of people and tracks")
    add("--batch-size", type=int, default=8, help="pictures that the detector gets at a time (default 8)")
    add("--accept-license", action="store_true", help="you have read the license of a detector that is not known here")


def run(args: argparse.Namespace) -> int:
    from ..curate.protocols import CurateSettings
    from ..curate.watching import WatchSettings, watch_film

    for word in args.set:
        name = word.partition("=")[0]
        if not name.startswith(("people.", "tracks.")) or name in _NOT_HERE:
            raise RecipeError(f"--set {word} has no effect on a film that is watched; leave it out")
    words = [f"people.every={args.every}", f"people.turns={args.turns}"]
    if args.detector is not None:
        words.append(f"people.detector={json.dumps(args.detector)}")
    curation = CurateSettings().override([*words, *args.set])
    names = ("model", "ask_every", "top_k", "threshold", "batch_size", "accept_license")
    settings = WatchSettings(**{name: getattr(args, name) for name in names})
    found = watch_film(args.film, args.out, settings, curation)
    print(f"{found['people']} people in {found['seconds']:.1f} s ({found['frames']} frames)")
    for name in ("watched.mp4", "people.json", "actions.csv"):
        print(f"  {found[name]}")
    return 0
