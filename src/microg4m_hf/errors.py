"""The errors a user can cause. The command line prints the message on one line and exits with code 2."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import dataclass


class MicroG4MError(Exception):
    """Base class; every message says what was given, why it fails and what to do instead."""


class StoppedBySignal(KeyboardInterrupt):
    """A training was stopped by SIGTERM, SIGUSR1 or SIGINT (Ctrl-C). ``exit_code`` is 128 plus the signal.

    It is a ``KeyboardInterrupt``, because code that handles errors must not handle it as one.

    Args:
        number: The signal.
        step: The step of the checkpoint that was written because of it.
    """

    def __init__(self, number: int, step: int | None = None) -> None:
        done = "" if step is None else f" after step {step}, whose checkpoint is complete"
        super().__init__(f"{signal.Signals(number).name}: stopped{done}; run the same command again to resume")
        self.number, self.step, self.exit_code = number, step, 128 + number


class DataError(MicroG4MError, ValueError):
    """An annotation file is invalid.

    Args:
        problem: What is wrong.
        file: The file it was found in.
        line: The line, counted from 1.
        value: The value found; a long one is shortened.
        hint: What to do instead.

    Example:
        >>> str(DataError("unknown action id", file="actions.csv", line=7, value="81", hint="use an id from 1 to 80"))
        "actions.csv, line 7: unknown action id: '81' (use an id from 1 to 80)"
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        line: int | None = None,
        value: object = None,
        hint: str | None = None,
    ) -> None:
        where = "" if file is None else str(file)
        if line is not None:
            where += f", line {line}" if where else f"line {line}"
        message = f"{where}: {problem}" if where else problem
        if value is not None:
            message += f": {shorten(value)}"
        if hint:
            message += f" ({hint})"
        super().__init__(message)
        self.problem, self.file, self.line, self.value, self.hint = problem, file, line, value, hint


class SourceError(MicroG4MError, FileNotFoundError):
    """The dataset cannot be found or reached."""


class MissingFileError(SourceError):
    """A Hub repository does not contain ``file``."""

    def __init__(self, message: str, file: str = "") -> None:
        super().__init__(message)
        self.file = file


class HubError(MicroG4MError, ConnectionError):
    """The Hub refuses a request or cannot be reached."""


class ClipError(MicroG4MError, ValueError):
    """A video file cannot be decoded or is not the expected clip."""

    @classmethod
    def damaged(cls, name: object, problem: str) -> ClipError:
        """Return the error of a file that is damaged or cut short.

        Example:
            >>> str(ClipError.damaged("ISS_001.mp4", "shows no frames"))
            'ISS_001.mp4: shows no frames; download or copy it again'
        """
        return cls(f"{name}: {problem}; download or copy it again")


class PredictionError(MicroG4MError, ValueError):
    """Predictions are invalid or do not match the references."""


@dataclass(frozen=True)
class Origin:
    """The input that an error is about: a file, or what else predictions or references were read from.

    Example:
        >>> str(Origin("predictions answers.csv").error("no header", "name the columns", line=1))
        'predictions answers.csv, line 1: no header (name the columns)'
    """

    name: str
    references: bool = False

    def error(self, problem: str, hint: str = "", *, line: int | None = None) -> PredictionError | DataError:
        """Return the error to raise: a ``DataError`` for references, a ``PredictionError`` for predictions."""
        message = f"{self.name}{f', line {line}' if line else ''}: {problem}{f' ({hint})' if hint else ''}"
        return DataError(message) if self.references else PredictionError(message)


class CheckpointError(MicroG4MError, ValueError):
    """A checkpoint cannot be read or does not fit the model."""


class ModelError(MicroG4MError, ValueError):
    """A model cannot be built with these settings or does not accept this input."""


class ServerError(MicroG4MError, ConnectionError):
    """A model server, or a model in another environment, stopped responding; finished answers are kept."""


class RecipeError(MicroG4MError, ValueError):
    """A recipe or an option has an invalid value."""


class MissingExtraError(MicroG4MError, ImportError):
    """An optional package is missing; the message names the extra to install."""


def list_some(names: Iterable[str], limit: int = 5) -> str:
    """Join the first few names and count the others.

    >>> list_some(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    every = list(names)
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def shorten(value: object, limit: int = 120) -> str:
    """Return the ``repr`` of a value, cut to ``limit`` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
