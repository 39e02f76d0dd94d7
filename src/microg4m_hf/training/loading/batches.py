"""Bring batches of decoded clips to the device: fetch them ahead, copy them to a GPU, and normalize them."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import RecipeError
from ...runtime import is_out_of_memory
from .transforms import MIDDLE, STEPS, Geometry, render

if TYPE_CHECKING:
    import torch


def render_batch(
    windows: Sequence[torch.Tensor],
    geometries: Sequence[Geometry],
    config: Any,
    device: torch.device | str | None = None,
    *,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Render a batch of windows and normalize it.

    Args:
        windows: uint8 ``(T, H, W, 3)``, of any size, or packed. Packed ones are copied to a GPU beside the computation
            that it still does, and may be overwritten as soon as this function returns.
        geometries: What happens to each window; all crops must have one size.
        config: The config of the model, with ``image_mean`` and ``image_std``.
        device: Where to do so; by default, where the windows are.
        out: Clips of an earlier batch that nothing needs any more. On a CPU, packed windows are rendered into their
            memory if the sizes agree: new memory of this size takes longer than the pixels.

    Returns:
        Clips ``(batch, 3, T, height, width)``.

    Raises:
        RecipeError: If the crops have several sizes.
    """
    import torch

    sizes = {(geometry.crop_height, geometry.crop_width) for geometry in geometries}
    if len(sizes) > 1:
        raise RecipeError(f"a batch has frames of {len(sizes)} sizes, {sorted(sizes)[:3]}; set data.crop to one side")
    place = torch.device(device) if device is not None else windows[0].device
    mean, std = (
        torch.tensor(list(values), device=place).view(3, 1, 1, 1) for values in (config.image_mean, config.image_std)
    )

    def normalize(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.div_(255.0).sub_(mean).div_(std)

    if any(window.dtype != torch.int16 for window in windows):
        pairs = zip(windows, geometries, strict=True)
        return normalize(torch.stack([render(window.to(place), geometry) for window, geometry in pairs]))
    if place.type != "cpu":
        return normalize(stack_on_device(windows, place).float().add_(MIDDLE).div_(STEPS))
    shape = (len(windows), *windows[0].shape)
    clips = out if out is not None and out.shape == shape and out.device == place else torch.empty(shape)
    for clip, window in zip(clips, windows, strict=True):
        # One frame after the other stays in the processor's cache. Dividing by a power of two is exact, so that one
        # division has the bits of both.
        for target, frame in zip(clip.split(1, 1), window.split(1, 1), strict=True):
            target.copy_(frame).add_(MIDDLE).div_(STEPS * 255.0).sub_(mean).div_(std)
    return clips


class ClipMemory:
    """Renders batch after batch into the same memory on a CPU; finish a batch before the next.

    Example:
        >>> import torch
        >>> from types import SimpleNamespace
        >>> memory = ClipMemory()
        >>> windows, geometries = [torch.zeros(3, 2, 4, 4, dtype=torch.int16)], [Geometry(4, 4, 0, 0, 4, 4)]
        >>> config = SimpleNamespace(image_mean=(0.45, 0.45, 0.45), image_std=(0.225, 0.225, 0.225))
        >>> first, second = (memory.render(windows, geometries, config, "cpu") for _ in range(2))
        >>> first is second
        True
    """

    def __init__(self) -> None:
        self._clips: torch.Tensor | None = None

    def render(
        self, windows: Sequence[torch.Tensor], geometries: Sequence[Geometry], config: Any, device: torch.device | str
    ) -> torch.Tensor:
        """Do what :func:`render_batch` does."""
        clips = render_batch(windows, geometries, config, device, out=self._clips)
        self._clips = clips if clips.device.type == "cpu" else None  # torch keeps the memory of a GPU by itself
        return clips


def stack_on_device(windows: Sequence[torch.Tensor], place: torch.device) -> torch.Tensor:
    """Stack packed windows of one size on a device; a GPU copies them while it computes."""
    import torch

    if place.type != "cuda" or windows[0].device.type != "cpu":
        return torch.stack(list(windows)).to(place)
    computing = torch.cuda.current_stream(place)
    copying = _copying_stream(computing.device_index)
    with torch.cuda.stream(copying):
        packed = torch.empty(len(windows), *windows[0].shape, dtype=torch.int16, device=place)
        for target, window in zip(packed, windows, strict=True):
            target.copy_(window, non_blocking=True)
    copying.synchronize()  # the windows may be in slots, which workers use again
    packed.record_stream(computing)
    return packed


@functools.cache
def _copying_stream(index: int) -> torch.cuda.Stream:
    """The stream of all copies to a GPU: memory is reused within a stream only."""
    import torch

    return torch.cuda.Stream(index)


class Prefetched:
    """Batches of which the next one is fetched and copied to the GPU while the GPU computes a step.

    A step calls :meth:`fetch_next` as soon as its work is queued. On a CPU, where this would only delay the step,
    batches are fetched when they are asked for.

    Args:
        batches: Batches of :func:`load_batches`.
        device: Where the steps are computed.
    """

    def __init__(self, batches: Iterator[dict[str, Any]], device: torch.device) -> None:
        self._batches, self._device = batches, device
        self._ahead = device.type == "cuda"
        self._next: dict[str, Any] | BaseException | None = None
        self._idle: tuple[Any, Any] | None = None
        self._waited = 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        if self._next is None:
            began = time.perf_counter()
            self._fetch()
            self._waited += time.perf_counter() - began
        batch, self._next = self._next, None
        if not isinstance(batch, dict):
            assert batch is not None
            raise batch
        return batch

    def fetch_next(self) -> None:
        """Fetch the next batch, if the device computes meanwhile. An error is raised where the batch is asked for."""
        import torch

        if not self._ahead or self._next is not None:
            return
        done, fetched = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        done.record()
        self._fetch()
        fetched.record()  # the GPU comes here at once if it had nothing left to do
        self._idle = done, fetched

    def waited(self) -> float:
        """Return the seconds for which the device had nothing to do but to wait for a batch, since the last call."""
        if self._idle is not None:
            done, fetched = self._idle
            fetched.synchronize()
            self._waited += done.elapsed_time(fetched) / 1000
            self._idle = None
        seconds, self._waited = self._waited, 0.0
        return seconds

    def _fetch(self) -> None:
        try:
            batch = self._next = next(self._batches)
            if self._ahead and len({window.shape for window in batch["windows"]}) == 1:
                batch["windows"] = list(stack_on_device(batch["windows"], self._device))
        except Exception as error:
            if isinstance(self._next, dict) and is_out_of_memory(error):
                self._ahead = False  # the step divides its batch, which stays where it is
            else:
                self._next = error
