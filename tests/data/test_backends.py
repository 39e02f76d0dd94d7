"""Every decoder returns the frames of plain in-order decoding, bit for bit, whatever it skips."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import av
import numpy as np
import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.data import every, open_clip, read_frames, uniform, window
from microg4m_hf.data.video import backends, decord_process, other_decoders, pyav
from microg4m_hf.data.video.index import read_index
from microg4m_hf.data.video.source import as_source
from microg4m_hf.errors import ClipError, MissingExtraError
from microg4m_hf.extras import is_installed
from tests.support.videos import KINDS, flip_bits, pictures, write_every_kind, write_video

ROTATIONS = {"quarter": -1, "half": 2, "three_quarters": 1}
NAMES = [*KINDS, "mkv", "webm", "cover", "cut", "cut_short_gop", "cut_open_gop", *ROTATIONS, "mirror"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_every_kind(tmp_path_factory.mktemp("kinds"))


@pytest.fixture(scope="module", params=["pyav", "decord", "torchcodec"])
def backend(request: pytest.FixtureRequest) -> str:
    package = {"pyav": "av"}.get(request.param, request.param)
    if not is_installed(package):
        pytest.skip(f"{package} is not installed")
    if request.param == "torchcodec":
        try:
            other_decoders.load_torchcodec()
        except MissingExtraError as error:
            pytest.skip(str(error))
    return request.param


def decode_plainly(path: Path) -> tuple[np.ndarray, list[float]]:
    """Decode everything in order with PyAV as its manual shows it, and rotate by hand."""
    with av.open(str(path)) as container:
        track = 1 if path.stem == "cover" else 0
        shown = list(container.decode(video=track))
        stack = np.stack([frame.to_ndarray(format="rgb24") for frame in shown])
        times = [float(frame.pts * frame.time_base) for frame in shown]
    name = path.stem
    if name in ROTATIONS:
        stack = np.rot90(stack, ROTATIONS[name], axes=(1, 2))
    return (stack[:, :, ::-1] if name == "mirror" else stack), times


@pytest.mark.parametrize("name", NAMES)
def test_same_frames_from_every_decoder(clips: dict[str, Path], name: str, backend: str) -> None:
    expected, times = decode_plainly(clips[name])
    n = len(expected)
    with open_clip(clips[name], backend=backend) as clip:
        assert len(clip) == n
        assert (clip.height, clip.width) == expected.shape[1:3]
        np.testing.assert_allclose(clip.times(), times, atol=1e-9)
        shuffled = np.random.default_rng(0).integers(0, n, 6)
        for plan in (every(n), uniform(n, 8), window(n, n // 2, 8, 3), window(n, n - 1, 4, 2), shuffled, [n - 1]):
            np.testing.assert_array_equal(clip.frames(plan), expected[plan])


@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_the_frames_has_the_pixels_of_whole_frames(clips: dict[str, Path], name: str, backend: str) -> None:
    """Whatever the color format and the offset in its chroma samples."""
    with open_clip(clips[name], backend=backend) as clip:
        wanted = [len(clip) - 1, 0]
        whole, height, width = clip.frames(wanted), clip.height, clip.width
        corners = [(0, 0), (5, 7), (6, 2)]
        for top, left in corners:
            for bottom, right in ((height, width), (top + 1, left + 1), (min(top + 9, height), min(left + 20, width))):
                part = clip.frames(wanted, (top, left, bottom, right))
                np.testing.assert_array_equal(part, whole[:, top:bottom, left:right])
        with pytest.raises(IndexError, match="have no part"):
            clip.frames(wanted, (0, 0, height + 1, width))


@pytest.mark.parametrize("name", ["long_gop", "vfr", "cut"])
def test_bytes_and_odd_names_with_every_decoder(
    clips: dict[str, Path], name: str, backend: str, tmp_path: Path
) -> None:
    expected, _ = decode_plainly(clips[name])
    odd = tmp_path / "%d ein Clip; 宇宙 'x' #1?.mp4"
    odd.write_bytes(clips[name].read_bytes())
    for source in (odd.read_bytes(), odd, {"path": "gone.mp4", "bytes": odd.read_bytes()}):
        np.testing.assert_array_equal(read_frames(source, [14, 3], backend=backend), expected[[14, 3]])


@pytest.mark.parametrize("name", ["long_gop", "short_gop_b", "open_gop", "cut", "cut_short_gop", "fragmented"])
def test_every_frame_read_alone(clips: dict[str, Path], name: str) -> None:
    expected, _ = decode_plainly(clips[name])
    with open_clip(clips[name]) as clip:
        for i in range(len(clip)):
            np.testing.assert_array_equal(clip.frames([i])[0], expected[i])


@pytest.mark.parametrize("seed", range(12))
def test_skipping_never_changes_a_bit(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    extra = {
        "preset": str(rng.choice(["ultrafast", "veryfast", "medium"])),
        "b-pyramid": str(rng.choice(["none", "strict", "normal"])),
        "refs": str(rng.integers(1, 6)),
        "weightb": str(rng.integers(2)),
        "x264-params": f"log-level=none:slices={rng.integers(1, 4)}:open-gop={rng.integers(2)}",
    }
    gop, bframes = int(rng.choice([1, 5, 12, 250])), int(rng.integers(0, 6))
    path = write_video(tmp_path / "clip.mp4", count=40, gop=gop, bframes=bframes, extra=extra)
    expected, _ = decode_plainly(path)
    with open_clip(path) as clip:
        for _ in range(12):
            asked = rng.integers(0, 40, rng.integers(1, 9))
            np.testing.assert_array_equal(clip.frames(asked), expected[asked])


def test_only_needed_packets_are_decoded(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    index = read_index(as_source(clips["long_gop"]))
    skipping = [frame.pts for _, frame in pyav._decode(index, {12}, skip=True)]
    assert skipping == [index.pts[12]]
    assert pyav._packet_ranges(index, [20]) == [(0, 20)]  # stops after the last packet that is needed
    short = read_index(as_source(clips["short_gop"]))
    assert pyav._packet_ranges(short, [14, 15, 29]) == [(12, 15), (24, 29)]  # and leaves out whole groups of pictures
    assert pyav.find_idr_packets(read_index(as_source(clips["open_gop"]))) == []


@pytest.mark.parametrize(("name", "count"), [("cut", 21), ("cut_short_gop", 15), ("cut_open_gop", 15)])
def test_frames_hidden_by_an_edit_list_do_not_count(clips: dict[str, Path], name: str, count: int) -> None:
    whole, _ = decode_plainly(clips[{"cut": "long_gop", "cut_short_gop": "short_gop"}.get(name, "open_gop")])
    np.testing.assert_array_equal(read_frames(clips[name], every), whole[30 - count :])


def test_rotated_frames_are_shown_upright(clips: dict[str, Path]) -> None:
    upright = read_frames(clips["long_gop"], [4])[0]
    corner = upright[:24, :16].astype(int)  # top left as stored
    quarter = read_frames(clips["quarter"], [4])[0].astype(int)
    assert quarter.shape == (64, 48, 3)
    np.testing.assert_array_equal(quarter[:16, -24:], np.rot90(corner, -1))  # clockwise: goes to the top right
    three = read_frames(clips["three_quarters"], [4])[0].astype(int)
    np.testing.assert_array_equal(three[-16:, :24], np.rot90(corner, 1))


def test_color_tags_are_respected(clips: dict[str, Path]) -> None:
    plain, tagged = read_frames(clips["bt601"], [0]).astype(int), read_frames(clips["bt709"], [0]).astype(int)
    assert np.abs(plain - tagged).mean() > 1  # the same stored values, another matrix


def test_pyav_replaces_a_decoder_that_would_be_wrong_and_logs_it_once(
    clips: dict[str, Path], backend: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "_logged", set())
    with caplog.at_level(logging.INFO, "microg4m_hf.data"):
        for _ in range(3):
            read_frames(clips["cut"], [0], backend=backend)
    expected = [] if backend == "pyav" else [f"using PyAV instead of {backend}, which is not right for frames hidden"]
    assert len(caplog.records) == len(expected)
    assert all(text in record.message for text, record in zip(expected, caplog.records, strict=True))


def test_auto_logs_its_choice_once(
    clips: dict[str, Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "_logged", set())
    with caplog.at_level(logging.INFO, "microg4m_hf.data"):
        for _ in range(3):
            assert open_clip(clips["long_gop"]).backend == "pyav"
    assert [record.message for record in caplog.records if f"PyAV {av.__version__}" in record.message] != []
    assert len(caplog.records) == 1


def test_flipped_bits_give_the_same_result_with_every_decoder(tmp_path: Path, backend: str) -> None:
    """Damage is an error that names the clip, or the same pixels as plain decoding; decord alone would hide it."""
    source = write_video(tmp_path / "whole.mp4", pictures(12, 144, 176))
    refused = 0
    for seed in range(8):
        broken = flip_bits(source, tmp_path / "broken.mp4", seed=seed, bits=6)
        try:
            got = read_frames(broken, every, backend=backend)
        except ClipError as error:
            assert "broken.mp4" in str(error)
            refused += 1
            continue
        np.testing.assert_array_equal(got, decode_plainly(broken)[0])
    assert refused >= 5


@pytest.mark.parametrize("box", [b"stco", b"ctts", b"elst", b"stts"])
def test_flipped_bits_in_tables_neither_crash_nor_change_pixels(tmp_path: Path, box: bytes) -> None:
    """decord follows a wrong table of offsets to its end, and a wrong table of times to other frames."""
    if not is_installed("decord"):
        pytest.skip("decord is not installed")
    data = write_video(tmp_path / "whole.mp4", pictures(12, 144, 176), bframes=2).read_bytes()
    start = data.index(box)
    size = int.from_bytes(data[start - 4 : start], "big")
    rng = np.random.default_rng(0)
    for _ in range(10):
        broken = bytearray(data)
        for bit in rng.integers(8 * 8, 8 * (size - 4), 2):
            broken[start + bit // 8] ^= 1 << (bit % 8)
        (tmp_path / "broken.mp4").write_bytes(broken)
        try:
            plain = read_frames(tmp_path / "broken.mp4", every, backend="pyav")
        except ClipError:
            with pytest.raises(ClipError, match=r"broken\.mp4"):
                read_frames(tmp_path / "broken.mp4", every, backend="decord")
            continue
        np.testing.assert_array_equal(read_frames(tmp_path / "broken.mp4", every, backend="decord"), plain)


def test_a_decoder_that_crashes_ends_only_its_own_process(
    clips: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a module in place of decord that ends its process as a crash does, in the middle of a request."""
    (tmp_path / "decord.py").write_text(
        "import os, signal\n"
        "class logging:\n    QUIET = 0\n    set_level = staticmethod(lambda level: None)\n"
        "def VideoReader(*_, **__):\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    decord_process._stop_running()
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        index = read_index(as_source(clips["long_gop"]))
        for _ in range(2):
            with pytest.raises(other_decoders.UnsupportedClipError, match="a clip it fails on"):
                list(other_decoders.read_decord(as_source(clips["long_gop"]), index, [0, 3]))
        np.testing.assert_array_equal(
            [frame for _, frame in backends.read_stored_frames(as_source(clips["long_gop"]), index, [3], "decord")],
            decode_plainly(clips["long_gop"])[0][[3]],
        )
    finally:
        decord_process._stop_running()


def test_damage_after_the_wanted_frames_is_ignored(tmp_path: Path) -> None:
    source = write_video(tmp_path / "whole.mp4", pictures(24, 144, 176), gop=8, bframes=0)
    expected = read_frames(source, [0, 1, 2])
    data = bytearray(source.read_bytes())
    last = read_index(as_source(source)).packets[-1]
    at = bytes(data).index(bytes(memoryview(last)))
    data[at + 4 : at + last.size] = b"\xff" * (last.size - 4)
    np.testing.assert_array_equal(read_frames(bytes(data), [0, 1, 2]), expected)
    with pytest.raises(ClipError, match="damaged"):
        read_frames(bytes(data), every)


def test_a_missing_decoder_names_its_extra(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "decord", None)  # what Python does for a package that is not there
    with pytest.raises(MissingExtraError, match=r"microg4m-hf\[decord\]"):
        open_clip(clips["long_gop"], backend="decord")


def test_the_environment_report_names_all_decoders(capsys: pytest.CaptureFixture[str]) -> None:
    states = backends.backend_status()
    assert states["pyav"] == av.__version__
    assert main(["env"]) == 0
    report = capsys.readouterr().out
    for name in ("pyav", "decord", "torchcodec"):
        assert f"{name:24}{states[name]}" in report


@pytest.mark.parametrize(
    ("system", "machine", "message"),
    [("Darwin", "arm64", "no wheels for Darwin arm64"), ("Linux", "x86_64", r"pip install 'microg4m-hf\[decord\]'")],
)
def test_the_report_says_how_to_install_a_decoder(monkeypatch: pytest.MonkeyPatch, system, machine, message) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert re.search(message, backends._install_hint("decord"))
    assert "apt-get install ffmpeg" in backends._install_hint("torchcodec")
