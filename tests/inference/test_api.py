"""The API runner against a local server that fails in many ways."""

from __future__ import annotations

import base64
import io
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from microg4m_hf.cli.main import main
from microg4m_hf.errors import RecipeError, ServerError
from microg4m_hf.inference.api.client import Endpoint, find_key
from microg4m_hf.inference.api.runner import api_runner
from microg4m_hf.inference.frames import read_frames
from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
from microg4m_hf.inference.run import run
from tests.support.bad_api_server import BadServer
from tests.support.videos import write_video

KEY = "sk-very-secret-0123456789abcdef"
SETTINGS = TextSettings("vqa", "served-1", runner="api", prompts="plain", frames=3, image_detail="low")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "a_001.mp4")


@pytest.fixture
def work(video: Path) -> list[ClipQueries]:
    """Six clips with four questions each, ``q0`` to ``q23``."""
    return [
        ClipQueries(str(video), f"a_{clip:03}", tuple(Query(f"q{4 * clip + n}", f"q{4 * clip + n}") for n in range(4)))
        for clip in range(6)
    ]


def endpoint(server: BadServer, **changes: Any) -> Endpoint:
    options = {"concurrency": 4, "timeout": 10.0, "backoff": 0.02, "max_retries": 3, "retry_timeout": 20.0, **changes}
    return Endpoint(server.url, KEY, **options)


def records(server: BadServer, work: list[ClipQueries], **changes: Any) -> dict[str, dict[str, Any]]:
    settings = changes.pop("settings", SETTINGS)
    return {query.id: record for query, record in api_runner(settings, endpoint(server, **changes))(work)}


def each(plans: dict[str, list[str]]) -> Callable[[str, int], str]:
    """A plan: what happens to the tries of a question; "ok" after the last one."""
    return lambda question, attempt: (plans.get(question, [])[attempt:] or ["ok"])[0]


def test_transient_errors_are_retried_and_others_recorded(work: list[ClipQueries]) -> None:
    plans = {
        "q0": ["busy:0.2"],
        "q1": ["busy_date:1", "status:500"],
        "q2": ["status:503", "cut", "malformed"],
        "q3": ["cut_body", "html", "odd"],
        "q4": ["slow"],
        "q5": ["drip"],
        "q6": ["malformed"] * 9,
        "q7": ["status:500"] * 9,
        "q8": ["empty"],
        "q9": ["filter"],
        "q10": ["refusal"],
        "q11": ["length:Two people wa"],
        "q12": ["thought"],
        "q13": ["filtered_400"],
        "q14": ["status:422"],
        "q15": ["echo"],
        "q16": ["status:408"],
        "q17": ["status:409"],
        "q19": ["down:0.3"],
    }
    with BadServer(each(plans), seconds=0.05) as server:
        results = records(server, work, timeout=5.0, backoff=0.1)
        assert server.most_at_once == 4
        assert server.keys == {f"Bearer {KEY}"}
        assert server.counts["q4"] == server.counts["q5"] == 2
    assert len(results) == 24
    kinds = {name: record["kind"] for name, record in results.items() if record["status"] != "ok"}
    assert kinds == {
        "q6": "malformed",
        "q7": "server",
        "q8": "empty",
        "q9": "content_filter",
        "q10": "refusal",
        "q12": "length",
        "q13": "content_filter",
        "q14": "rejected",
    }
    assert results["q11"]["text"] == "Two people wa" and results["q11"]["flags"] == ["length"]
    assert results["q15"]["text"] == "Half ? a pair, Bearer ***"
    assert [results[name]["requests"] for name in ("q0", "q1", "q2", "q3", "q7", "q14", "q19")] == [2, 3, 4, 4, 4, 1, 2]
    assert "I cannot help" in results["q10"]["why"] and "500" in results["q7"]["why"]
    assert KEY not in json.dumps(results)


@pytest.mark.parametrize("limit", [1, 3])
def test_the_concurrency_is_limited(work: list[ClipQueries], limit: int) -> None:
    with BadServer(lambda question, attempt: "ok" if attempt else "status:500", seconds=0.05) as server:
        assert len(records(server, work[:2], concurrency=limit)) == 8
        assert server.most_at_once == limit


def test_a_busy_server_pauses_all_requests(work: list[ClipQueries]) -> None:
    with BadServer(each({"q3": ["busy:3"]})) as server:
        results = records(server, work, max_retries=0)  # waiting for a busy server is not a retry
    assert {record["status"] for record in results.values()} == {"ok"}
    gaps = np.diff(sorted(server.times))
    assert gaps.max() > 2  # no request during the wait, but those that were being sent


def test_too_long_a_wait_stops_the_run(work: list[ClipQueries], tmp_path: Path) -> None:
    with BadServer(each({"q9": ["busy:3600"]})) as server:
        with pytest.raises(ServerError, match=r"wait 3600 s, .*--retry-timeout 20; finished items are kept"):
            run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint(server)))
        kept = (tmp_path / "items.rank0.jsonl").read_text().splitlines()
        assert 0 < len(kept) < 24 and "failed" not in "".join(kept)
        summary = run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint(server)))
    assert summary["finished"] == 24 and summary["done_now"] == 24 - len(kept)
    assert set(server.counts.values()) <= {1, 2} and server.counts.total() == 25


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ("status:401", "does not accept the key"),
        ("status:404", "does not know this model"),
        ("quota", "has no quota left"),
    ],
)
def test_fatal_errors_stop_the_run_at_once(work: list[ClipQueries], plan: str, reason: str) -> None:
    with BadServer(lambda question, attempt: plan) as server:
        with pytest.raises(ServerError, match=reason) as caught:
            records(server, work)
        assert server.counts.total() <= 4
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_an_unavailable_server_stops_the_run_and_records_no_failure(work: list[ClipQueries], tmp_path: Path) -> None:
    with BadServer() as server:
        pass
    with pytest.raises(ServerError, match="10 items in a row failed"):
        run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint(server, max_retries=1)))
    assert (tmp_path / "items.rank0.jsonl").read_text() == ""
    with BadServer(each({"q0": ["status:500"] * 9})) as server:  # one failure among successes is recorded
        results = records(server, work, max_retries=1)
    assert [name for name, record in results.items() if record["status"] != "ok"] == ["q0"]


def test_failures_and_usage_are_counted_and_retried_on_request(work: list[ClipQueries], tmp_path: Path) -> None:
    plans = {"q3": ["empty"], "q5": ["refusal"], "q6": ["length:So"]}
    with BadServer(each(plans)) as server:
        prices = endpoint(server, price_in=0.5, price_out=2.0)
        first = run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, prices))
        assert (first["finished"], first["failed"], first["missing"]) == (22, 2, 0)
        assert [(item["id"], item["kind"]) for item in first["failures"]] == [("q3", "empty"), ("q5", "refusal")]
        assert first["failed_kinds"] == {"empty": 1, "refusal": 1}
        again = run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, prices))
        assert again["done_now"] == 0 and server.counts.total() == 24
        last = run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, prices), retry_failed=True)
    assert (last["finished"], last["failed"], last["done_now"]) == (24, 0, 2)
    assert last["tokens"] == {"in": 2600, "out": 104, "cached": 1560}  # including the two failures
    assert last["cost"] == pytest.approx(2600 / 1000 * 0.5 + 104 / 1000 * 2.0)
    assert (
        last["requests"] == 26
        and last["flags"] == {"length": 1}
        and last["served"] == [f"served-1 at {server.url[7:-3]}"]
    )
    assert json.loads((tmp_path / "results.json").read_text())["tokens"] == last["tokens"]


def test_the_request_body(work: list[ClipQueries], video: Path) -> None:
    settings = TextSettings("caption", "m", "api", prompts="expert", frames=3, image_side=32, image_detail="high")
    with BadServer() as server:
        records(server, [ClipQueries(str(video), "a_001", (Query("a_001"),))], settings=settings)
        (body,) = server.bodies
    assert body["model"] == "m" and body["temperature"] == 0 and body["max_completion_tokens"] == 256
    assert "seed" not in body
    system, user = body["messages"]
    assert system["role"] == "system" and "microgravity" in system["content"]
    *images, text = user["content"]
    assert text["text"].startswith("Describe in two or three") and len(images) == 3
    frames = [Image.fromarray(frame) for frame in read_frames(str(video), 3, "uniform").frames]
    small = np.stack([np.asarray(frame.resize((32, 24), Image.Resampling.BICUBIC), float) for frame in frames])
    for place, image in enumerate(images):
        assert image["image_url"]["detail"] == "high"
        head, data = image["image_url"]["url"].split(",")
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        assert head == "data:image/jpeg;base64" and picture.size == (32, 24)
        away = np.abs(np.asarray(picture, float) - small).mean((1, 2, 3))
        assert away.argmin() == place and away[place] < 12 < np.delete(away, place).min()


def test_older_servers_get_the_older_parameter_name(work: list[ClipQueries]) -> None:
    with BadServer(lambda question, attempt: "old") as server:
        results = records(server, work[:1])
        assert "max_tokens" in server.bodies[-1] and {record["status"] for record in results.values()} == {"ok"}


def test_a_clip_that_cannot_be_decoded_fails_its_items(work: list[ClipQueries], tmp_path: Path) -> None:
    broken = tmp_path / "a_001.mp4"
    broken.write_bytes(b"no video")
    with BadServer() as server:
        results = records(server, [ClipQueries(str(broken), "a_001", work[0].queries), work[1]])
    assert [results[f"q{n}"].get("kind") for n in range(8)] == ["decode"] * 4 + [None] * 4


def test_where_the_key_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(RecipeError, match="OPENAI_API_KEY is not set"):
        Endpoint().resolve()
    assert find_key("http://localhost:8000/v1", None) == ""
    with pytest.raises(RecipeError, match="GEMINI_API_KEY is not set"):
        find_key("http://localhost:8000/v1", "GEMINI_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    found = Endpoint().resolve()
    assert (found.base_url, found.key) == ("https://api.openai.com/v1", KEY)
    assert Endpoint(key="sk-own").resolve().base_url == "https://api.openai.com/v1"
    assert find_key("http://localhost:8000/v1", None) == KEY
    assert find_key("http://node7:8000/v1", None) == ""  # not unencrypted over a network
    assert find_key("http://node7:8000/v1", "OPENAI_API_KEY") == KEY  # unless named
    for address in (f"https://user:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"host/{KEY}"):
        with pytest.raises(RecipeError) as caught:
            Endpoint(address, "").resolve()
        assert KEY not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(RecipeError, match="characters that no key contains") as caught:
        Endpoint().resolve()
    assert KEY not in str(caught.value) and KEY not in repr(Endpoint("http://x/v1", KEY))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert Endpoint(key="").resolve().base_url == "http://localhost:8000/v1"


def test_the_key_is_not_sent_to_another_server_after_a_redirect(work: list[ClipQueries]) -> None:
    with BadServer() as other, BadServer(lambda question, attempt: f"away:{other.url}") as server:
        results = records(server, work[:1])
    assert server.keys == {f"Bearer {KEY}"} and other.keys == {""}
    assert {record["status"] for record in results.values()} == {"ok"}


def predict(server: BadServer, out: Path, *more: str) -> list[str]:
    words = ["predict", "vqa", "--runner", "api", "--base-url", server.url, "--model", "served-1", "--out", str(out)]
    return [*words, "--source", "sample", "--frames", "2", "--limit", "4", "--concurrency", "3", *more]


def test_the_command_writes_the_key_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "run"
    plans = ("status:418", "echo", "busy:0.1", "cut", "ok", "status:500", "malformed")
    with BadServer(lambda question, attempt: plans[server.counts.total() % 7]) as server:
        code = main(predict(server, out, "--key-env", "MY_KEY", "--max-retries", "1", "--price-in", "0.01"))
        assert server.keys == {f"Bearer {KEY}"}
    results = json.loads((out / "results.json").read_text())
    assert results["finished"] + results["failed"] == 24 and results["missing"] == 0
    assert code == (1 if results["failed"] else 0) and results["cost"] > 0
    with BadServer(lambda question, attempt: "status:401") as server:
        assert main(predict(server, tmp_path / "other", "--key-env", "MY_KEY")) == 2
    shown = capfd.readouterr()
    assert "does not accept the key" in shown.err and "Bearer ***" in shown.err
    assert KEY not in shown.out + shown.err + caplog.text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_options_of_another_runner_are_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["predict", "vqa", "--model", "m", "--concurrency", "3"]) == 2
    assert "--concurrency has no effect with --runner local; it needs api" in capsys.readouterr().err
    assert main(["predict", "vqa", "--model", "blind", "--runner", "api"]) == 2
    assert "remove --runner api" in capsys.readouterr().err
    assert main(["predict", "vqa", "--model", "m", "--runner", "isolated"]) == 2
    assert "give it with --python" in capsys.readouterr().err


def test_an_interrupt_stops_the_command_at_once(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    with BadServer(lambda question, attempt: "slow" if next(numbers) > 6 else "ok") as server:
        words = [sys.executable, "-m", "microg4m_hf", *predict(server, tmp_path / "run")]
        # A shell that runs the tests in the background makes its children ignore Ctrl-C.
        restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=restore_sigint)
        journal = tmp_path / "run" / "items.rank0.jsonl"
        end = time.monotonic() + 600
        while process.poll() is None and (server.counts.total() < 9 or journal.read_bytes().count(b"\n") < 6):
            assert time.monotonic() < end
            time.sleep(0.005)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "run the same command again" in stderr
    assert time.monotonic() - began < 20  # requests under way would take two minutes
    assert len(journal.read_text().splitlines()) == 6


def test_killed_and_run_again(tmp_path: Path) -> None:
    with BadServer(seconds=0.05) as server:
        words = [sys.executable, "-m", "microg4m_hf", *predict(server, tmp_path / "run")]
        environment = {**os.environ, "OPENAI_API_KEY": KEY}
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while server.counts.total() < 9 and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        n_requests = server.counts.total()
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        assert server.counts.total() <= 24 + 3 + 3 and n_requests < 24  # only open requests are sent again
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert len(lines) == len({json.loads(line)["question_id"] for line in lines}) == 24
