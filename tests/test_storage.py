"""Files and folders are written completely or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from microg4m_hf import scratch
from microg4m_hf.scratch import exclusive
from microg4m_hf.storage import atomic_folder, cache_home, write_atomic
from tests.support.kills import count_steps, kill_at_step


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = write_atomic(tmp_path / "a.json", "old")
    with pytest.raises(TypeError):
        write_atomic(target, 3)  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_folder_never_appears(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_folder(tmp_path / "sample") as scratch:
        (scratch / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_first_complete_folder_is_kept_unless_replaced(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "sample") as scratch:
            (scratch / "who").write_text(text)
    assert (tmp_path / "sample" / "who").read_text() == "first"
    with atomic_folder(tmp_path / "sample", replace=True) as scratch:
        (scratch / "who").write_text("third")
    assert (tmp_path / "sample" / "who").read_text() == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.delenv("MICROG4M_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "microg4m"


def test_scratch_of_a_killed_process_is_removed_and_that_of_a_living_one_kept(tmp_path: Path) -> None:
    """A process that is killed in the middle of a folder and a file, and one that is still writing."""
    script = (
        "import sys, time; from pathlib import Path; from microg4m_hf.scratch import scratch_file, scratch_folder\n"
        "folder = Path(sys.argv[1])\n"
        "with scratch_folder(folder / 'report') as one, scratch_file(folder / 'a.json') as other:\n"
        "    (one / 'half').write_text('x')\n"
        "    print(one.name, other.name, flush=True)\n"
        "    time.sleep(600)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    names = [set(writer.stdout.readline().split()) for writer in writers if writer.stdout]
    writers[0].kill()
    writers[0].wait()
    try:
        assert {path.name for path in tmp_path.iterdir()} == names[0] | names[1]
        with atomic_folder(tmp_path / "report") as scratch:
            (scratch / "whole").write_text("x")
        write_atomic(tmp_path / "a.json", "{}")
        assert {path.name for path in tmp_path.iterdir()} == names[1] | {"report", "a.json"}
    finally:
        writers[1].kill()
        writers[1].wait()
        for writer in writers:
            assert writer.stdout
            writer.stdout.close()


def test_scratch_of_another_machine_is_removed_when_it_is_old(tmp_path: Path) -> None:
    foreign = [tmp_path / f".a.json.othermachine-{letter * 8}.part" for letter in "xy"]
    for path in foreign:
        path.touch()
    os.utime(foreign[0], (0, 0))
    other = tmp_path / ".b.json.othermachine-xxxxxxxx.part"  # scratch of another target
    other.touch()
    os.utime(other, (0, 0))
    write_atomic(tmp_path / "a.json", "{}")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", foreign[1].name, other.name}


def test_scratch_is_not_followed_to_another_place(tmp_path: Path) -> None:
    """A link with the name of scratch, as somebody else could make it in a shared folder."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").touch()
    link = tmp_path / f".a.json.{scratch._MACHINE}-xxxxxxxx.part"
    link.symlink_to(victim)
    write_atomic(tmp_path / "a.json", "{}")
    assert (victim / "kept").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("exchange", [True, False])
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    """Without an exchange in one step, as on some file systems, the next writer restores the old folder."""
    if not exchange:
        monkeypatch.setattr("microg4m_hf.storage._exchange", lambda one, other: False)
    target = tmp_path / "report"

    def write(text: str) -> None:
        with atomic_folder(target, replace=True) as scratch:
            for name in ("one", "two"):
                (scratch / name).write_text(text)

    write("old")
    steps = count_steps(lambda: write("old"))
    assert steps > 8
    for step in range(1, steps + 1):
        assert kill_at_step(step, lambda: write("new"))
        if exchange:
            texts = {(target / name).read_text() for name in ("one", "two")}
            assert texts in ({"old"}, {"new"})
        with pytest.raises(RuntimeError), atomic_folder(target, replace=True):
            raise RuntimeError  # a writer that fails
        assert len({(target / name).read_text() for name in ("one", "two")}) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["report"]
        write("old")


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """Also when a process that it started outlives it, as the workers of a DataLoader do for some seconds."""
    script = (
        "import os, sys, time; from pathlib import Path; from microg4m_hf.scratch import exclusive\n"
        "with exclusive(Path(sys.argv[1])) as locked:\n"
        "    if os.fork() == 0: print(locked, os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    lock = tmp_path / ".lock"
    owner = subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    locked, child = owner.stdout.readline().split()
    assert locked == "True"
    with exclusive(lock) as got:
        assert not got
    owner.kill()
    owner.wait()
    owner.stdout.close()
    os.kill(int(child), 0)
    try:
        with exclusive(lock) as got:
            assert got
        assert not lock.exists()
    finally:
        os.kill(int(child), signal.SIGKILL)
