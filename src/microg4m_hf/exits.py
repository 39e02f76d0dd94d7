"""Run a command: print what a user can cause on one line, and return the exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import sys
from collections.abc import Callable, Container, Iterator
from typing import Any, TextIO

from .errors import MicroG4MError
from .extras import name_extra
from .runtime import is_main_process
from .visible import VisibleStream, visible

# Without a path, these are bugs of the library.
_ABOUT_A_PATH = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
# What else the operating system refuses, and what to do about it.
ADVICE = {
    errno.ENOSPC: "free some space, or write to another disk",
    getattr(errno, "EDQUOT", errno.ENOSPC): "free some of your quota, or write to another disk",
    errno.EROFS: "use a folder that can be written to",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EFBIG: "raise the limit of `ulimit -f`, or write to another disk",
    errno.EMFILE: "raise the limit of `ulimit -n`, or use fewer workers",
    errno.ENFILE: "close other programs, or use fewer workers",
    errno.EIO: "check the disk, or use another one",
    errno.ELOOP: "use a path whose links end",
}
_OF_A_DISK = (errno.ENOSPC, errno.EROFS, errno.EFBIG)
_WRITER_OF_TORCH = ("PytorchStreamWriter failed", ". unexpected pos ")


class _Log:
    """Standard error of a job, which goes on when nobody reads it any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run_command(command: str, job: Callable[[], int], options: Container[str] = ()) -> int:
    """Run a job and return its exit code; an error that a user can cause is one line and code 2.

    Args:
        command: The words that started it, for messages, such as ``train har``.
        job: What to run; it returns 0 for success and 1 when a check found faults.
        options: The options of the command by their names in Python; messages then say ``--on-empty score`` where the
            library says ``on_empty='score'``.

    Returns:
        What the job returns; 2 for an error of the user; 128 plus the number of a signal, 130 for Ctrl-C.

    Example:
        >>> run_command("env", lambda: 0)
        0
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError):  # not a terminal or file, e.g. in a notebook
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # ASCII has no ×
    try:
        with contextlib.redirect_stdout(VisibleStream(sys.stdout)), contextlib.redirect_stderr(_Log(sys.stderr)):
            code = job()
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        if _has_reader(sys.stdout):
            _complain(f"a connection was closed by its other side ({error}); run the same command again")
            return 2
        _discard_output()  # `microg4m … | head` is not an error
        return 0
    except KeyboardInterrupt as error:
        if is_main_process():
            _complain(str(error) or "interrupted; run the same command again to continue")
        return getattr(error, "exit_code", 130)
    except Exception as error:
        message = explain(error, command)
        if message is None:
            raise
        _complain(with_options(message, options))
        if isinstance(error, OSError):
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                return 2
            _discard_output()
        return 2


def with_options(message: str, options: Container[str]) -> str:
    """Say in a message ``--name value`` for keywords of Python that are options of a command, ``--name`` for True.

    >>> with_options("pass missing='zero' or by=7, or set data.missing=1", {"missing", "data_dir"})
    'pass --missing zero or by=7, or set data.missing=1'
    >>> with_options("data_dir= and source= exclude each other", {"data_dir", "source"})
    '--data-dir and --source exclude each other'
    >>> with_options("use partial=True to load what fits", {"partial"})
    'use --partial to load what fits'
    """

    def spell(match: re.Match[str]) -> str:
        name, quoted, plain = match.groups()
        if name not in options:
            return match.group()
        value = quoted if quoted is not None else "" if plain == "True" else plain
        return f"--{name.replace('_', '-')}{f' {value}' if value else ''}"

    return re.sub(r"(?<![\w.-])([a-z][a-z_]*)=(?:'([^']*)'|([\w.+-]*[\w]))?(?=[\s,;:.)]|$)", spell, message)


def explain(error: BaseException, command: str) -> str | None:
    """Return the line that tells a user about an error, None for an error that is a bug of the library.

    Args:
        error: The error that ended a command.
        command: The words that started it.

    Example:
        >>> explain(OSError(errno.ENOSPC, "No space left on device"), "data sample")
        'No space left on device; free some space, or write to another disk'
        >>> explain(KeyError("video_id"), "data stats")
    """
    if isinstance(error, ImportError):
        error = name_extra(error, command)
    if isinstance(error, MicroG4MError):
        return str(error)
    for cause in _chain(error):
        if isinstance(cause, OSError):
            # pyarrow repeats the message of the system in a longer one of its own.
            if cause.errno is not None and cause.errno in ADVICE:
                return f"{_path_of(cause)}{os.strerror(cause.errno)}; {ADVICE[cause.errno]}"
            if cause is error and cause.errno in _ABOUT_A_PATH and cause.filename is not None:
                return f"{_path_of(cause)}{cause.strerror}; use another path"
        else:  # torch and safetensors raise errors of their own
            for number in _OF_A_DISK:
                if os.strerror(number) in str(cause):
                    return f"{os.strerror(number)}; {ADVICE[number]}"
            if any(words in str(cause) for words in _WRITER_OF_TORCH):  # it does not say why
                return f"a file could not be written, as on a full disk; {ADVICE[errno.ENOSPC]}"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those it was raised from: datasets wraps the errors of a builder."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _path_of(error: OSError) -> str:
    path = error.filename if error.filename2 is None else error.filename2
    if path is None:
        return ""
    text = os.fsdecode(path) if isinstance(path, (bytes, str)) else str(path)
    return (text if len(text) <= 100 else f"{text[:80]}…{text[-15:]}") + ": "


def _complain(message: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody reads standard error
        print(f"microg4m: {visible(' '.join(message.split()))}", file=sys.stderr, flush=True)


def _has_reader(stream: Any) -> bool:
    """Whether something reads the pipe that a stream writes to; where the system cannot tell, nothing does."""
    try:
        poller = select.poll()
        poller.register(stream.fileno(), select.POLLOUT)  # macOS reports no errors to who asks for nothing else
        ended = select.POLLERR | select.POLLHUP | select.POLLNVAL
        return not any(event & ended for _, event in poller.poll(0))
    except (AttributeError, OSError, ValueError):
        return False


def _discard_output() -> None:
    """Send the rest of the output nowhere: Python writes it at exit, and would fail again."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
