"""Clips in forked and spawned workers and in threads, after the parent has read clips; memory does not grow."""

from __future__ import annotations

import gc
import multiprocessing
import re
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.data import Clip, every, open_clip, read_frames
from microg4m_hf.data.video import other_decoders
from microg4m_hf.errors import MissingExtraError
from microg4m_hf.extras import is_installed
from tests.support.videos import write_video


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("workers") / "clip.mp4", count=12)


def _read(path: Path, backend: str) -> np.ndarray:
    return read_frames(path, [11, 0], backend=backend)


def _read_opened(clip: Clip) -> np.ndarray:
    return clip.frames([11, 0])


class FrameDataset:
    """A map-style dataset for torch's DataLoader with a clip that the parent opened and used."""

    def __init__(self, clip: Clip, backend: str) -> None:
        self.clip, self.backend = clip, backend

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> np.ndarray:
        return np.stack([self.clip.frames([i])[0], read_frames(self.clip._source, [i], backend=self.backend)[0]])


@pytest.mark.parametrize("backend", ["pyav", "decord", "torchcodec"])
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_workers_read_what_the_parent_reads(path: Path, start: str, backend: str) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} on this system")
    if backend != "pyav":
        if not is_installed(backend):
            pytest.skip(f"{backend} is not installed")
        if backend == "torchcodec":
            try:
                other_decoders.load_torchcodec()
            except MissingExtraError as error:
                pytest.skip(str(error))
    expected = _read(path, backend)
    opened = open_clip(path, backend=backend)
    opened.frames([3])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(start)) as pool:
        for job in (pool.submit(_read, path, backend), pool.submit(_read_opened, opened)):
            np.testing.assert_array_equal(job.result(timeout=600), expected)
    np.testing.assert_array_equal(opened.frames([11, 0]), expected)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_clip_opened_by_the_parent_works_in_forked_loader_workers(path: Path) -> None:
    data = pytest.importorskip("torch.utils.data")
    opened = open_clip(path)
    expected = opened.frames(range(4))
    loader = data.DataLoader(
        FrameDataset(opened, "pyav"), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    both = np.concatenate([batch.numpy() for batch in loader])
    np.testing.assert_array_equal(both[:, 0], expected)
    np.testing.assert_array_equal(both[:, 1], expected)


def test_one_clip_in_many_threads(path: Path) -> None:
    with open_clip(path) as clip:
        expected = clip.frames(every(12))
        wrong: list[int] = []

        def work(seed: int) -> None:
            for i in np.random.default_rng(seed).integers(0, 12, 40).tolist():
                if not (clip.frames([i])[0] == expected[i]).all():
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="this system has no such file")
def test_memory_does_not_grow(path: Path) -> None:
    data = path.read_bytes()

    def opens(count: int) -> int:
        for i in range(count):
            with open_clip(path if i % 2 else data) as clip:
                clip.frames([i % 12])
            if i % 10 == 0:
                with pytest.raises(ValueError):
                    open_clip(data[: len(data) // 2])
        gc.collect()
        # Unlike statm, exact on every kernel.
        (resident,) = re.findall(r"^Rss: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.M)
        return int(resident)

    before = opens(150)
    grown = opens(1000) - before
    assert grown < 4096, f"{grown} kB more after 1,000 opens"  # a leak of one picture (9 kB) each would be 9 MB
