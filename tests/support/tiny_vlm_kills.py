"""Kill runs of a tiny model with SIGKILL at random moments. Run it as a process of its own, because it forks.

``python -m tests.support.tiny_vlm_kills FOLDER KILLS SEED`` prints a JSON report.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from microg4m_hf.data import load_dataset
from microg4m_hf.inference.items import ClipQueries, TextSettings, group_queries
from microg4m_hf.inference.run import run
from microg4m_hf.inference.vlm.loading import Placement
from microg4m_hf.inference.vlm.local import local_runner
from tests.support.tiny_vlm import tiny_vlm


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    model = tiny_vlm("video_llava", folder / "model")
    work = group_queries("vqa", load_dataset("vqa", split="test", source="sample"))
    settings = TextSettings("vqa", str(model), frames=4, max_new_tokens=8)
    runner = local_runner(settings, Placement(batch_size=6))

    def paced(clips: Sequence[ClipQueries]) -> Iterator[Any]:
        """As slow as a real model, or a fast machine would be done before the last kill."""
        for count, answer in enumerate(runner(clips), 1):
            yield answer
            if count % 6 == 0:
                time.sleep(0.15)

    def start(place: Path, world: int, answers: Any = runner) -> list[int]:
        def one(rank: int) -> None:
            run(settings, work, place, lambda: answers, rank=rank, world_size=world)

        return [_fork(partial(one, rank)) for rank in range(world)]

    began = time.monotonic()
    _wait(start(folder / "uninterrupted", 1))
    whole = time.monotonic() - began
    _wait(start(folder / "pair", 2))

    dice, killed, torn, progress = random.Random(seed), 0, 0, []
    place = folder / "killed"
    for number in range(kills):
        children = start(place, 1 + number % 2, paced)
        _wait_for_lines(place, min(dice.randint(0, 6), len(_query_ids(work)) - _count_lines(place)), dice)
        for child in children:
            os.kill(child, signal.SIGKILL)
        killed += sum(os.WIFSIGNALED(status) for status in _wait(children))
        journals = [path.read_bytes() for path in place.glob("items.rank*.jsonl")]
        torn += sum(bool(text) and not text.endswith(b"\n") for text in journals)
        progress.append(_count_lines(place))
    statuses = _wait(start(place, 2))
    return {
        "seconds": round(whole, 2),
        "killed": killed,
        "torn": torn,
        "progress": progress,
        "completed": all(status == 0 for status in statuses),
        "items": _query_ids(work),
        "records": _count_lines(place),
    }


def _wait_for_lines(place: Path, lines: int, dice: random.Random) -> None:
    """Wait until ``lines`` lines are added, and then a little longer, to kill in the middle of an item."""
    before, deadline = _count_lines(place), time.monotonic() + 60
    while _count_lines(place) < before + lines and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(dice.uniform(0, 0.02 if lines else 0.5))


def _count_lines(place: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in place.glob("items.rank*.jsonl"))


def _fork(do: Callable[[], Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        do()
        sys.stdout.flush()
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def _wait(children: list[int]) -> list[int]:
    return [os.waitpid(child, 0)[1] for child in children]


def _query_ids(work: list[ClipQueries]) -> list[str]:
    return [query.id for clip in work for query in clip.queries]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
