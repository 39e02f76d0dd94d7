"""What the steps of ``microg4m demo`` share: what one leaves for the next, and how commands are shown and run."""

from __future__ import annotations

import runpy
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Demo:
    """What one step leaves for the next, and for the summary at the end."""

    out: Path
    steps: int | None = None  # of each training; None: as many as its recipe says
    data: dict[str, Any] = field(default_factory=dict)  # config -> DatasetDict
    done: list[str] = field(default_factory=list)


def command(*words: str) -> None:
    """Show a command of ours and run it here, so that what is printed is what was done."""
    from .main import main

    shell(shlex.join(["microg4m", *words]))
    code = main(list(words))
    if code:
        raise SystemExit(code)


def script(path: Path, *words: str) -> None:
    """Show a Python script's command and run it here: a process of its own would import all of torch again."""
    shell(shlex.join(["python", str(path), *words]))
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[0:0] = [str(path), *words], [str(path.parent.resolve())]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv, sys.path[:] = before


def shell(line: str) -> None:
    print(f"  $ {line}", flush=True)


def python(*lines: str) -> None:
    for line in lines:
        print(f"  >>> {line}", flush=True)


def say(text: str) -> None:
    print(f"      {text}", flush=True)
