"""The processes of one training: work that only the main one does, and signals that end all of them together.

Clusters stop a job with SIGTERM, or announce the end with SIGUSR1; Ctrl-C is SIGINT. A training that gets one of them
finishes its step, writes a checkpoint and ends. It is enough that one process of the job gets the signal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import MicroG4MError, RecipeError, StoppedBySignal
from ..scratch import exclusive
from .run_folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)
)  # Windows has no SIGUSR1
_REPEATED_AFTER = 1.0  # seconds; torchrun passes Ctrl-C on to processes that already got it from the terminal


class MainProcessError(MicroG4MError):
    """The main process has failed and prints why; the others end silently."""


def on_main_process(accelerator: Accelerator, work: Callable[[], T]) -> T:
    """Do some work on the main process and return its result on all of them. An error there ends all of them."""
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None, ""]
    problem: Exception | None = None
    if accelerator.is_main_process:
        try:
            outcome[0] = work()
        except (MicroG4MError, OSError) as error:
            problem, outcome[1] = error, str(error)
    outcome = broadcast_object_list(outcome)
    if problem is not None:
        raise problem
    if outcome[1]:
        raise MainProcessError(outcome[1])
    result: T = outcome[0]
    return result


@contextlib.contextmanager
def only_training_in(accelerator: Accelerator, run: RunFolder) -> Iterator[None]:
    """Make this job the only training in a run folder. The lock ends with the main process, however it ends.

    Raises:
        RecipeError: If another training uses the folder.
    """
    with contextlib.ExitStack() as stack:

        def lock() -> None:
            if not stack.enter_context(exclusive(run.lock)):
                owner = run.lock.read_text(encoding="utf-8") or "another process"
                raise RecipeError(
                    f"another training uses {run.path} ({owner}); wait until it ends, or give --out another folder"
                )

        on_main_process(accelerator, lock)
        yield


class StopSignals:
    """Note SIGTERM, SIGUSR1 and SIGINT while a training runs.

    Outside of :meth:`deferred`, a signal raises :class:`StoppedBySignal` at once. Inside, it is only noted, and the
    loop asks :meth:`requested` when it can stop. A second Ctrl-C always raises at once.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._noted_at = 0.0
        self._deferred = False
        self._former: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # others cannot set handlers
            self._former = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        if self._number is not None and isinstance(error, Exception) and not isinstance(error, MicroG4MError):
            raise StoppedBySignal(self._number) from error  # the other processes of the job ended first

    def _note(self, number: int, frame: object) -> None:
        now = time.monotonic()
        again = number == signal.SIGINT and self._number is not None and now - self._noted_at > _REPEATED_AFTER
        if self._number is None:
            self._number, self._noted_at = number, now
        if again or not self._deferred:
            raise StoppedBySignal(number)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note signals in this block."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def requested(self, accelerator: Accelerator) -> int:
        """Return the signal that any process has got, or 0. Every process must call this."""
        import torch

        if accelerator.num_processes == 1:
            return self._number or 0
        noted = accelerator.gather(torch.tensor([self._number or 0], device=accelerator.device))
        return int(noted.max())


def shield_worker(worker: int) -> None:
    """Let a DataLoader worker ignore the signals that end a training, unless the training itself sends them.

    Clusters send a signal to every process of a job. Without this, the workers would end before the training has
    finished its step. Pass it as ``worker_init_fn``.
    """
    for number in _SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
