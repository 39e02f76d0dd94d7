"""Decode key frames in worker processes and yield them in batches, independent of ``/dev/shm``, and never wait forever.

A worker crops its item and writes the packed pixels into a slot of one memory mapping that all workers inherit; the
rest of the item goes through a pipe. The mapping has no file, so no size of ``/dev/shm`` and no limit on open files or
file sizes applies to it. Where processes inherit no memory (macOS, Windows), the pixels go through the pipe as well.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import math
import mmap
import multiprocessing
import os
import shutil
import signal
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import MicroG4MError, RecipeError
from ...runtime import available_memory
from ..processes import shield_worker
from ..recipe import Recipe
from .dataset import RELEASED_SIZE, Item, KeyFrameWindows, RunBatches, collate
from .transforms import scaled_size

if TYPE_CHECKING:
    from accelerate import Accelerator

BATCHES_AHEAD = 2  # how many batches the workers together decode ahead
CHECK_EVERY = 10  # seconds without an item until the workers are examined
LOST_AFTER = 3  # examinations in a row without a sign of life: a stopped process, or an item that does not arrive
STUCK_AFTER = 60  # the same for a process that waits in the middle of an item: a slow disk is not an error
NOTE_AFTER = 3  # a line says which clip is slow, and again each time this number doubles


def run_batches(
    items: KeyFrameWindows, recipe: Recipe, first_step: int, end_step: int, accelerator: Accelerator
) -> Iterator[dict[str, Any]]:
    """Yield all remaining batches of this process, collated.

    Raises:
        RecipeError: A step has fewer items than there are processes, or as for :func:`load_batches`.
    """
    world = accelerator.num_processes
    smallest = min(recipe.loop.batch, len(items))
    if smallest < world:
        raise RecipeError(f"a step of {smallest} key frames cannot be shared by {world} processes; start fewer of them")
    batches = RunBatches(
        count=len(items),
        batch=recipe.loop.batch,
        seed=recipe.loop.seed,
        first_step=first_step,
        end_step=end_step,
        rank=accelerator.process_index,
        world=world,
    )
    return load_batches(items, batches, workers=recipe.data.workers, largest=math.ceil(recipe.loop.batch / world))


def load_batches(
    items: KeyFrameWindows, batches: Iterable[Sequence[Any]], *, workers: int, largest: int
) -> Iterator[dict[str, Any]]:
    """Yield collated batches. Their windows are packed, and overwritten later: finish a batch before the next.

    Args:
        items: The dataset.
        batches: For each batch the places of its items in the dataset, at least one.
        workers: Processes that decode; 0 decodes in this process.
        largest: The number of items in the largest batch.

    Raises:
        RecipeError: The workers cannot be started, or one of them died or is stuck; the message says what to change.
    """
    if not workers:
        for places in batches:
            yield collate([items.packed(place) for place in places])
        return
    sizes: deque[int] = deque()

    def numbered() -> Iterator[tuple[int, Any]]:
        number = itertools.count()
        for places in batches:
            sizes.append(len(places))
            for place in places:
                yield next(number), place

    batch: list[Item] = []
    for item in _load_items(items, numbered(), workers, largest):
        batch.append(item)
        if len(batch) == sizes[0]:
            sizes.popleft()
            yield collate(batch)
            batch = []


def _load_items(
    items: KeyFrameWindows, numbered: Iterator[tuple[int, Any]], workers: int, largest: int
) -> Iterator[Item]:
    """Yield items in order; each is valid until ``largest`` further items were taken."""
    import torch
    from torch.utils.data import DataLoader

    ahead, slots = _open_slots(items, workers, largest)
    loader: Any = DataLoader(
        _Decoder(items, slots),  # type: ignore[arg-type]  # a mapping from what the sampler yields
        batch_size=None,  # workers send items, not batches: a batch is ready sooner, and fewer of them are in memory
        sampler=numbered,
        num_workers=workers,
        prefetch_factor=ahead,
        collate_fn=_unchanged,  # type: ignore[arg-type]  # called with one item, as there are no batches
        timeout=CHECK_EVERY,
        worker_init_fn=shield_worker,
        generator=torch.Generator().manual_seed(0),  # keeps the global RNG for the model
    )
    for number, sent in enumerate(receive_items(loader, Watch(items, slots))):
        if sent.error is not None:
            raise RecipeError(sent.error)
        if slots is not None and number == 0:  # workers are started before, from a process without locked pages
            slots.lock()
        if sent.shape is not None:
            assert slots is not None
            sent.item.frames = slots.pixels(number, sent.shape)
        yield sent.item


def receive_items(loader: Iterable[Any], watch: Watch | None = None) -> Iterator[Any]:
    """Iterate over a ``DataLoader``. A worker that dies raises a RuntimeError starting with "DataLoader worker".

    Torch raises it from the signal of the dead process, or when it notices that no item arrives. In between, a broken
    connection can be first: a worker killed while it sends an item.
    """
    try:
        iterator = iter(loader)
    except OSError as error:
        reason = _start_error(error)
        _discard_frames(error)
        raise RecipeError(f"processes that decode clips cannot be started: {reason}") from None
    for number in itertools.count():
        while True:
            try:
                sent = next(iterator)
                break
            except StopIteration:
                return
            except (OSError, EOFError) as error:
                if "DataLoader worker process" in str(error):  # raised by the dataset, in a worker that is alive
                    raise
                raise RuntimeError(f"DataLoader worker died while sending an item: {error}") from error
            except RuntimeError as error:
                if not str(error).startswith("DataLoader timed out"):
                    raise
                if watch is not None:
                    watch.examine(number)
        if watch is not None:
            watch.reset()
        yield sent


@contextlib.contextmanager
def decoding_errors() -> Iterator[None]:
    """Turn torch's report of a dead worker, which may come at any time, into one sentence."""
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        if hasattr(signal, "SIGCHLD"):  # not on Windows
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise the same error again, anywhere
        raise RecipeError(
            f"a process that decodes clips died ({error}); if memory was full, lower data.workers. "
            "The same command continues with what is already finished"
        ) from error


class _Sent(NamedTuple):
    """What a worker sends for an item: the item, its pixels included if ``shape`` is None; or an error."""

    item: Any
    shape: tuple[int, ...] | None = None
    error: str | None = None


class _Decoder:
    """The dataset of the ``DataLoader``: it decodes and crops item after item in a worker process."""

    def __init__(self, items: KeyFrameWindows, slots: Slots | None) -> None:
        self.items, self.slots = items, slots

    def __getitem__(self, numbered: tuple[int, Any]) -> _Sent:
        import torch.utils.data

        number, place = numbered
        worker = torch.utils.data.get_worker_info().id  # type: ignore[union-attr]
        if self.slots is not None:
            self.slots.begin(worker, number, place[1] if isinstance(place, tuple) else place)

        def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
            slot = None if self.slots is None else self.slots.pixels(number, shape)
            return np.empty(shape, dtype) if slot is None else slot

        try:
            item = self.items.packed(place, empty)
        except MicroG4MError as error:
            return _Sent(None, error=str(error))
        shape = None
        if self.slots is not None:
            if self.slots.pixels(number, item.frames.shape) is not None:
                shape, item.frames = item.frames.shape, np.empty(0, np.int16)
            self.slots.finish(worker, number)
        return _Sent(item, shape)


def _unchanged(sent: _Sent) -> _Sent:
    return sent


class Slots:
    """Memory that worker processes inherit: a slot for each item on its way, and what each worker is working on.

    Items use the slots in turn, so a slot is written again when ``count`` further items were begun.

    Args:
        count: The number of slots.
        size: The bytes of a slot.
        workers: The number of workers.

    Example:
        >>> slots = Slots(count=2, size=64, workers=1)
        >>> slots.pixels(3, (3, 1, 2, 2))[:] = 1
        >>> int(slots.pixels(5, (3, 1, 2, 2)).sum())  # the same slot
        12
        >>> slots.pixels(4, (3, 9, 2, 2)) is None
        True
    """

    def __init__(self, count: int, size: int, workers: int) -> None:
        self.count, self.size = count, size
        header = 32 * workers
        memory = mmap.mmap(-1, header + count * size)  # pages are allocated when they are first written
        self._memory = np.frombuffer(memory, np.uint8)
        self.workers = self._memory[:header].view(np.int64).reshape(workers, 4)
        self.workers[:] = (0, -1, -1, -1)  # process, item begun, item finished, place of the item begun
        self._slots = self._memory[header:].reshape(count, size)

    def begin(self, worker: int, number: int, place: int) -> None:
        self.workers[worker, [0, 1, 3]] = (os.getpid(), number, place)

    def finish(self, worker: int, number: int) -> None:
        self.workers[worker, 2] = number

    def lock(self) -> None:
        """Lock the pages for the GPU of this process, which then copies straight from them, five times as fast."""
        import torch

        if not torch.cuda.is_initialized():
            return
        runtime, address = torch.cuda.cudart(), self._memory.ctypes.data
        if int(runtime.cudaHostRegister(address, self._memory.nbytes, 0)):
            # The system refuses, so copies go through other memory. torch would report it at the next kernel.
            with contextlib.suppress(RuntimeError):
                torch.ones(1, device="cuda")
            return
        # Before the memory goes, with its last array; not in a worker, which has no GPU.
        weakref.finalize(self._memory, _unlock, runtime, address, os.getpid()).atexit = False

    def pixels(self, number: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return the slot of an item as packed pixels of this shape, to write or to read; None if it is too small."""
        length = np.dtype(np.int16).itemsize * math.prod(shape)
        if length > self.size:
            return None
        pixels: np.ndarray = self._slots[number % self.count, :length].view(np.int16).reshape(shape)
        return pixels


def _unlock(runtime: Any, address: int, process: int) -> None:
    if os.getpid() == process:
        runtime.cudaHostUnregister(address)


def slot_bytes(items: KeyFrameWindows) -> int:
    """Return the bytes of a packed item; clips that are wider than the released ones may need more."""
    data, sides = items.data, RELEASED_SIZE
    if items.training:
        height, width = (data.crop,) * 2 if data.crop else scaled_size(*sides, data.short_side[1])
        if data.rotate != "none":
            height = width = max(height, width)
    elif items.center_crop or data.align != "none":
        height, width = (data.eval_short_side,) * 2
    else:
        height, width = scaled_size(*sides, data.eval_short_side)
    return data.num_frames * height * width * 3 * np.dtype(np.int16).itemsize


def plan_slots(workers: int, largest: int, batches_ahead: float = BATCHES_AHEAD) -> tuple[int, int]:
    """Return how many items each worker decodes ahead, and how many slots that needs.

    >>> plan_slots(workers=4, largest=63)
    (32, 191)
    """
    ahead = max(1, math.ceil(batches_ahead * largest / workers))
    return ahead, workers * ahead + largest


def _open_slots(items: KeyFrameWindows, workers: int, largest: int) -> tuple[int, Slots | None]:
    """Return how many items each worker decodes ahead, and the memory for them; decode less ahead if it is short."""
    size = slot_bytes(items)
    free = available_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    for batches_ahead in (BATCHES_AHEAD, BATCHES_AHEAD / 2, 0):
        ahead, count = plan_slots(workers, largest, batches_ahead)
        if count * size <= free:
            break
    else:
        raise RecipeError(
            f"decoded key frames need {count * size / 1e9:.1f} GB of memory ({count} of {size / 1e6:.1f} MB), "
            f"{free / 1e9:.1f} GB are free; lower loop.batch (--batch-size of a prediction) or data.workers (0 decodes "
            "without this memory), or use a machine with more memory"
        )
    return ahead, Slots(count, size, workers) if multiprocessing.get_start_method() == "fork" else None


def _start_error(error: OSError) -> str:
    """Say what to change when the system refuses to start worker processes."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files; raise the limit with `ulimit -n 4096`, or lower data.workers"
    if error.errno == errno.ENOSPC:  # semaphores are small files there
        usage = shutil.disk_usage("/dev/shm")
        free = f"{usage.free >> 10} of {usage.total >> 10} KB are free"
        return f"/dev/shm is full ({free}); delete files there, or set data.workers=0"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"{error.strerror}; lower data.workers, or raise the limit on processes (`ulimit -u`)"
    return f"{error}; set data.workers=0 to decode without them"


def _discard_frames(error: BaseException) -> None:
    """Let go of the half-made iterator of torch, whose destructor would print an AttributeError after the message."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        error.__traceback__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook


class Watch:
    """Examines workers while no item arrives, and tells a slow one from one that will never finish.

    A worker that uses the processor, reads, or goes from item to item is slow, and is waited for. A worker without any
    of these signs is given up: soon if it is stopped or its finished item is lost, later if it waits for its file.
    """

    def __init__(self, items: KeyFrameWindows, slots: Slots | None) -> None:
        self.items = items
        self.workers = slots.workers if slots else np.array([(0, -1, -1, -1)])
        self.reset()

    def reset(self) -> None:
        """An item arrived."""
        self._waited = self._silent = 0
        self._signs: tuple[Any, ...] = ()

    def examine(self, number: int) -> None:
        """Look at the worker that has item ``number``; raise a RecipeError if it will not finish."""
        worker = number % len(self.workers)  # torch hands out items in turn
        process, begun, finished, place = self.workers[worker].tolist()
        state, *work = _signs_of_life(process)
        signs = (begun, finished, *work)
        self._silent = self._silent + 1 if signs == self._signs else 0
        self._signs = signs
        self._waited += 1
        name = self.items.items[place].video_id if place >= 0 else "a clip"
        if self._silent >= LOST_AFTER and (state == "T" or finished >= number):
            what = "is stopped" if state == "T" else f"finished {name}, but the result did not arrive"
            self._give_up(f"process {process}, which decodes clips, {what}")
        if self._silent >= STUCK_AFTER:
            self._give_up(
                f"a process that decodes clips has not done anything for {self._silent * CHECK_EVERY} s while it "
                f"reads {name}; check the disk or the network that the clips are on"
            )
        rounds, remainder = divmod(self._waited, NOTE_AFTER)
        if not remainder and rounds & (rounds - 1) == 0:
            print(f"waiting for {name} for {self._waited * CHECK_EVERY} s", file=sys.stderr)

    def _give_up(self, reason: str) -> None:
        if hasattr(signal, "SIGCHLD"):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report the workers that are killed
        for process in self.workers[:, 0].tolist():
            if process:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)  # a stopped process does not react to another signal
        raise RecipeError(f"{reason}. Run the same command again; with data.workers=0 no other process decodes")


def _signs_of_life(process: int) -> tuple[Any, ...]:
    """Return the state of a process, its processor time and what it has read; empty values where /proc is missing."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", 0, ""
    read = ""
    with contextlib.suppress(OSError):
        read = Path(f"/proc/{process}/io").read_text()
    return fields[0].upper(), int(fields[11]) + int(fields[12]), read
