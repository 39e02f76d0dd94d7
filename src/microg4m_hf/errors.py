"""Every error a user can cause. The command line prints the message on one line and exits with 2."""

from __future__ import annotations


class MicroG4MError(Exception):
    """Base of all errors that a user can cause; the message says what was given, why it fails, what to do."""


class DataError(MicroG4MError, ValueError):
    """An annotation file holds something that cannot be right.

    >>> str(DataError("unknown action id", file="actions.csv", line=7, value="81", hint="use an id of label_map.pbtxt"))
    "actions.csv, line 7: unknown action id: '81' (use an id of label_map.pbtxt)"
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
            message += f": {_short(value)}"
        if hint:
            message += f" ({hint})"
        super().__init__(message)
        self.problem, self.file, self.line, self.value, self.hint = problem, file, line, value, hint


class SourceError(MicroG4MError, FileNotFoundError):
    """The data set cannot be found or reached."""


class MissingFileError(SourceError):
    """A repository of the Hub lacks ``file``, which was asked for."""

    def __init__(self, message: str, file: str = "") -> None:
        super().__init__(message)
        self.file = file


class HubError(MicroG4MError, ConnectionError):
    """The Hub refuses, or cannot be reached."""


class ClipError(MicroG4MError, ValueError):
    """A video file cannot be read as the clip it claims to be."""


class PredictionError(MicroG4MError, ValueError):
    """A prediction file or a prediction object does not fit its reference."""


class CheckpointError(MicroG4MError, ValueError):
    """A checkpoint cannot be loaded into the model it was given for."""


class ModelError(MicroG4MError, ValueError):
    """A model cannot be built as asked, or was given an input it cannot take."""


class ServerError(MicroG4MError, ConnectionError):
    """A model behind a server, or in another environment, cannot go on; what is finished is kept."""


class RecipeError(MicroG4MError, ValueError):
    """A training recipe or an option of a run makes no sense."""


class MissingExtraError(MicroG4MError, ImportError):
    """An optional package is missing; the message names the extra that brings it."""


def _short(value: object, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
