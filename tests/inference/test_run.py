"""A run resumes without losing or mixing results after damaged files, crashes, and changed settings."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from microg4m_hf.errors import RecipeError
from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
from microg4m_hf.inference.journal import Journal
from microg4m_hf.inference.run import run

WORK = [
    ClipQueries(None, f"a_{clip:03}", tuple(Query(f"a_{clip:03}_q{i}", f"Q{i}?") for i in range(3)))
    for clip in range(7)
]
VQA = TextSettings("vqa", "somebody/model")


class Parrot:
    """A runner that repeats the question, and records which queries it got."""

    def __init__(self, fails: Sequence[str] = ()) -> None:
        self.fails, self.query_ids = fails, []  # type: ignore[var-annotated]

    def __call__(self, work: Sequence[ClipQueries]) -> Iterator[tuple[Query, dict[str, Any]]]:
        for clip in work:
            for query in clip.queries:
                self.query_ids.append(query.id)
                failed = {"status": "failed", "kind": "decode", "why": "cut short"}
                yield (
                    query,
                    failed if query.id in self.fails else {"status": "ok", "text": f"{query.id} ∞ {query.question}"},
                )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def test_a_finished_run_loads_no_model(tmp_path: Path) -> None:
    first = run(VQA, WORK, tmp_path, Parrot)
    assert (first["finished"], first["done_now"], first["missing"]) == (21, 21, 0)
    again = run(VQA, WORK, tmp_path, lambda: pytest.fail("loaded"))  # type: ignore[arg-type, return-value]
    assert (again["finished"], again["done_now"]) == (21, 0)
    assert [row["question_id"] for row in lines(tmp_path)] == [query.id for clip in WORK for query in clip.queries]


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_an_incomplete_line_is_run_again_and_harms_no_other(tmp_path: Path, cut: int) -> None:
    whole = run(VQA, WORK, tmp_path / "whole", Parrot)
    run(VQA, WORK[:4], tmp_path / "cut", Parrot)
    journal = tmp_path / "cut" / "items.rank0.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    parrot = Parrot()
    summary = run(VQA, WORK, tmp_path / "cut", lambda: parrot)
    assert summary["finished"] == whole["finished"]
    assert parrot.query_ids[0] == "a_003_q2"
    assert len(parrot.query_ids) == 10
    assert (tmp_path / "cut" / "predictions.jsonl").read_bytes() == (
        tmp_path / "whole" / "predictions.jsonl"
    ).read_bytes()


def test_invalid_lines_of_a_journal_are_ignored(tmp_path: Path) -> None:
    run(VQA, WORK[:2], tmp_path, Parrot)
    run_id = VQA.fingerprint
    junk = [b"\xff\xfe\n", b"[1]\n", b'{"run": "%s"}\n' % run_id.encode(), b"null\n"]
    junk += [json.dumps({"run": run_id, "id": "a_005_q0", **more}).encode() + b"\n" for more in
             ({"status": "ok"}, {"status": "ok", "text": 7}, {"status": "?"}, {})]  # fmt: skip
    (tmp_path / "items.rank7.jsonl").write_bytes(b"".join(junk))
    parrot = Parrot()
    assert run(VQA, WORK, tmp_path, lambda: parrot)["finished"] == 21
    assert len(parrot.query_ids) == 15


def test_a_run_resumes_with_another_number_of_processes(tmp_path: Path) -> None:
    run(VQA, WORK, tmp_path / "one", Parrot)
    for rank in (2, 0):
        run(VQA, WORK, tmp_path / "many", Parrot, rank=rank, world_size=3)
    partial = json.loads((tmp_path / "many" / "results.json").read_text())
    assert (partial["finished"], partial["missing"]) == (15, 6)
    late = Parrot()
    assert run(VQA, WORK, tmp_path / "many", lambda: late, rank=1, world_size=2)["missing"] == 3
    assert run(VQA, WORK, tmp_path / "many", Parrot)["missing"] == 0
    assert (tmp_path / "many" / "predictions.jsonl").read_bytes() == (
        tmp_path / "one" / "predictions.jsonl"
    ).read_bytes()
    journals = (tmp_path / "many").glob("items*")
    records = [json.loads(line)["id"] for path in journals for line in path.read_text().splitlines()]
    assert sorted(records) == sorted(set(records))


def test_processes_that_start_late_still_cover_all_clips(tmp_path: Path) -> None:
    """The shard of a process does not depend on what others have finished when it starts."""
    first, second = Parrot(), Parrot()
    run(VQA, WORK, tmp_path, lambda: first, rank=0, world_size=2)
    run(VQA, WORK, tmp_path, lambda: second, rank=1, world_size=2)
    assert sorted(first.query_ids + second.query_ids) == sorted(query.id for clip in WORK for query in clip.queries)


def test_a_changed_setting_is_refused(tmp_path: Path) -> None:
    run(VQA, WORK, tmp_path, Parrot)
    for name, value in {"frames": 9, "prompts": "plain", "weights": "other", "data": "x", "seed": 1}.items():
        with pytest.raises(RecipeError, match=f"other settings \\({name}: "):
            run(TextSettings("vqa", "somebody/model", **{name: value}), WORK, tmp_path, Parrot)
    for content in ("{", "[1]", "7"):
        (tmp_path / "settings.json").write_text(content)
        with pytest.raises(RecipeError, match="is not valid JSON"):
            run(VQA, WORK, tmp_path, Parrot)


def test_settings_can_be_corrected_until_something_is_recorded(tmp_path: Path) -> None:
    """A model that does not load records nothing, and leaves the settings of the attempt."""
    other = TextSettings("vqa", "somebody/model", frames=3)
    with pytest.raises(RecipeError, match="no such kernel"):
        run(other, WORK, tmp_path, broken_model)
    assert run(VQA, WORK, tmp_path, Parrot)["finished"] == 21
    assert json.loads((tmp_path / "settings.json").read_text()) == VQA.to_dict()
    with pytest.raises(RecipeError, match="other settings"):
        run(other, WORK, tmp_path, broken_model)


def test_another_process_that_still_loads_its_model_keeps_its_settings(tmp_path: Path) -> None:
    other = TextSettings("vqa", "somebody/model", frames=3)
    refused: list[str] = []

    def load() -> Parrot:
        with pytest.raises(RecipeError, match="other settings") as error:
            run(other, WORK, tmp_path, broken_model, rank=1, world_size=2)
        refused.append(str(error.value))
        return Parrot()

    assert run(VQA, WORK, tmp_path, load, world_size=2)["finished"] == 12
    assert refused and json.loads((tmp_path / "settings.json").read_text()) == VQA.to_dict()


def test_every_process_of_a_launch_may_have_the_corrected_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of a launch reach each lock together; none takes another one for a run with other settings."""
    other = TextSettings("vqa", "somebody/model", frames=3)
    with pytest.raises(RecipeError, match="no such kernel"):
        run(other, WORK, tmp_path, broken_model)
    together = threading.Barrier(4)

    class Together(FileLock):
        def __enter__(self) -> Together:
            together.wait(60)
            super().__enter__()
            return self

    monkeypatch.setattr("microg4m_hf.inference.run.FileLock", Together)
    with ThreadPoolExecutor(4) as pool:
        ended = [pool.submit(run, VQA, WORK, tmp_path, Parrot, rank=rank, world_size=4) for rank in range(4)]
    assert max(one.result()["finished"] for one in ended) == 21


def broken_model() -> Parrot:
    raise RecipeError("no such kernel; choose another one")


def test_failures_are_recorded_counted_and_retried_on_request(tmp_path: Path) -> None:
    failing = Parrot(fails=["a_001_q1", "a_006_q0"])
    summary = run(VQA, WORK, tmp_path, lambda: failing)
    assert (summary["finished"], summary["failed"], summary["missing"]) == (19, 2, 0)
    assert summary["failures"][0] == {"id": "a_001_q1", "kind": "decode", "why": "cut short"}
    run(VQA, WORK, tmp_path, lambda: pytest.fail("retried"))  # type: ignore[arg-type, return-value]
    retry = Parrot()
    summary = run(VQA, WORK, tmp_path, lambda: retry, retry_failed=True)
    assert retry.query_ids == ["a_001_q1", "a_006_q0"]
    assert (summary["finished"], summary["failed"]) == (21, 0)


def test_two_processes_never_write_to_one_journal(tmp_path: Path) -> None:
    code = (
        "import sys, time; from microg4m_hf.inference.journal import Journal\n"
        f"with Journal({str(tmp_path)!r}, 'x'): print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(RecipeError, match="another process is writing to"), Journal(tmp_path, "x"):
            pass
        with Journal(tmp_path, "x", rank=1):
            pass
        other.kill()
    with Journal(tmp_path, "x"):  # released by the operating system
        pass
