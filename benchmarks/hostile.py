"""Change files of every kind at random and count what is not answered as it should be.

    python benchmarks/hostile.py                       # about half an hour, writes benchmarks/results/hostile.json
    python benchmarks/hostile.py --trials 100 --kinds yaml zip

Every trial changes a valid file (or message) with its own seed and lets the library read it. Good outcomes are a
result, or one error of the library in one line. For clips, a result must have the pixels that PyAV decodes. Any other
exception is bad, and so are a crash, a trial of more than a minute, another result, and a file outside of the folder.

Trials run in a process of their own. When it dies or falls silent, the trial counts as failed and the next one begins.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy

import argparse
import asyncio
import contextlib
import io
import ipaddress
import json
import logging
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.effort import describe_machine
from microg4m_hf.errors import MicroG4MError
from tests.support.hub_release import tiny_release
from tests.support.videos import write_video

PROJECT = Path(__file__).resolve().parent.parent
SECONDS = 60
MEMORY = 8 << 30
DECODERS = ("pyav", "decord", "torchcodec")
HOSTS = """
    localhost 127.0.0.1 [::1] 127.1.2.3 0.0.0.0 10.0.0.1 evil.example 127.0.0.1.evil.example [::1 ::1
    localhost.evil.example 127.0.0.1:80@evil.example 2130706433 0x7f.1 127.0.0.1%00.evil.example LOCALHOST.
    evil.example#127.0.0.1 xn--localhost [::ffff:10.0.0.1]
"""
PATHS = """
    /gradio_api/upload /gradio_api/file=/etc/passwd /proxy=http://10.0.0.1/ /gradio_api/process_recording //evil
    /gradio_api/run/predict/ /monitoring
"""
PLANS = """
    ok ok empty filter refusal length:a thought malformed html odd cut cut_body cut_error status:500 status:502 old echo
    status:418 busy:0.01 busy_date:0 down:0.01 gzip brotli drip drip_headers slow endless:200 endless:500 bomb:200
    bomb:502
"""
Trial = Callable[[random.Random], str]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert and replace at one to eight places."""
    data = bytearray(content)
    pieces = [b"\0", b"\xff" * 8, b"nan", b"-1", b"1e999", b"9" * 400, b"[" * 50, b'"', b"\n", b"../", b"&a *a", b",,,"]
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 4, 64))
        what = rng.randrange(6)
        if what == 0 and data:
            data[place % len(data)] ^= 1 << rng.randrange(8)
        elif what == 1:
            del data[place : place + length]
        elif what == 2:
            data[place:place] = data[place : place + length * 4]
        elif what == 3:
            data[place:place] = rng.choice(pieces)
        elif what == 4:
            data[place : place + length] = rng.randbytes(length)
        elif rng.random() < 0.2:
            del data[place:]
    return bytes(data)


def yaml_trials(folder: Path) -> Trial:
    from microg4m_hf.training.recipe_io import load_recipe

    recipes = [path.read_bytes() for path in sorted((PROJECT / "recipes").glob("*_r50.yaml"))]
    bad = folder / "recipe.yaml"

    def trial(rng: random.Random) -> str:
        bad.write_bytes(mutate(rng.choice(recipes), rng))
        load_recipe(bad)
        return "read"

    return trial


def zip_trials(folder: Path) -> Trial:
    from microg4m_hf.data.unpack import unpack_clips
    from tests.support.hub_release import zip_videos

    content = zip_videos(tiny_release(folder / "release") / "videos")
    work = folder / "work"

    def trial(rng: random.Random) -> str:
        shutil.rmtree(work, ignore_errors=True)
        (work / "in").mkdir(parents=True)
        (work / "in" / "videos.zip").write_bytes(mutate(content, rng))
        try:
            unpack_clips(work / "in" / "videos.zip", work / "out" / "videos")
            return "read"
        finally:
            known = {work / "in", work / "in" / "videos.zip", work / "out"}
            outside = [path for path in work.rglob("*") if path not in known and (work / "out") not in path.parents]
            assert not outside, f"files outside of the folder: {outside[:3]}"

    return trial


def annotation_trials(folder: Path) -> Trial:
    from microg4m_hf.data.request import Request
    from microg4m_hf.data.tables import build_tables

    release = tiny_release(folder / "release")
    files = sorted(path for path in release.rglob("*") if path.suffix in (".csv", ".json", ".pbtxt"))
    originals = {path: path.read_bytes() for path in files}

    def trial(rng: random.Random) -> str:
        path = rng.choice(files)
        path.write_bytes(mutate(originals[path], rng))
        try:
            for config in ("har", "caption", "vqa"):
                build_tables(Request(config, videos=False), release)
            return "read"
        finally:
            path.write_bytes(originals[path])

    return trial


def prediction_trials(folder: Path) -> Trial:
    from microg4m_hf.data.request import Request
    from microg4m_hf.data.tables import build_tables
    from microg4m_hf.metrics import har_scores, vqa_scores

    release = tiny_release(folder / "release")
    texts = build_tables(Request("vqa", videos=False), release).tables["test"].to_pylist()
    answers = [{key: row[key] for key in ("video_id", "question", "answer")} for row in texts]
    test_file = next(release.rglob("ava_test_gt.csv"))
    rows = [line.split(",") for line in test_file.read_text().splitlines()]
    csv = "".join(",".join([*row[:7], "0.5"]) + "\n" for row in rows).encode()
    contents = {
        "a.json": json.dumps(answers).encode(),
        "a.jsonl": "".join(json.dumps(row) + "\n" for row in answers).encode(),
        "a.csv": csv,
    }

    def trial(rng: random.Random) -> str:
        name = rng.choice(sorted(contents))
        path = folder / name
        path.write_bytes(mutate(contents[name], rng))
        if name == "a.csv":
            har_scores(path, test_file, resamples=0)
        else:
            vqa_scores(path, answers, metrics=["rouge_l"], resamples=0)
        return "read"

    return trial


def clip_trials(backend: str) -> Callable[[Path], Trial]:
    def make(folder: Path) -> Trial:
        from microg4m_hf.data import open_clip, probe

        kinds: list[dict[str, Any]] = [{}, {"faststart": True}, {"gop": 5}, {"bframes": 0}, {"codec": "mpeg4"}]
        clips = [write_video(folder / f"{n}.mp4", count=20, **kind).read_bytes() for n, kind in enumerate(kinds)]
        bad = folder / "bad.mp4"

        def decode(name: str) -> np.ndarray | str:
            try:
                probe(bad)
                with open_clip(bad, backend=name) as clip:
                    return clip.frames(range(len(clip)))
            except MicroG4MError as error:
                assert "\n" not in str(error)
                return str(error)

        def trial(rng: random.Random) -> str:
            data = bytearray(rng.choice(clips))
            if rng.random() < 0.5:  # the table of contents, where a flipped bit makes frames of other bytes
                start = data.index(b"moov")
                end = min(len(data), start + int.from_bytes(data[start - 4 : start], "big"))
                for _ in range(rng.choice((1, 1, 2, 4))):
                    data[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
            else:
                data = bytearray(mutate(bytes(data), rng))
            bad.write_bytes(data)
            mine, reference = decode(backend), decode("pyav") if backend != "pyav" else None
            if isinstance(mine, np.ndarray) and isinstance(reference, np.ndarray):
                assert mine.shape == reference.shape, f"{mine.shape} frames, PyAV has {reference.shape}"
                away = np.abs(mine.astype(np.int16) - reference).max(initial=0)
                assert away <= 8, f"pixels {away} away from PyAV's"
            elif isinstance(mine, np.ndarray) and isinstance(reference, str):
                raise AssertionError(f"frames, PyAV refuses: {reference}")
            return "read" if isinstance(mine, np.ndarray) else "refused"

        return trial

    return make


def host_trials(folder: Path) -> Trial:
    from microg4m_hf.web.routes import GET_FOLDERS, GET_PATHS, POST_PATHS, SameOriginOnly

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    names = [*HOSTS.split(), *["localhost", "127.0.0.1"] * 8, "", "127.0.0.1\t"]
    paths = [*GET_PATHS, *POST_PATHS, *(f"{name}x" for name in GET_FOLDERS), *PATHS.split()]
    middleware = SameOriginOnly(app, local=True)

    def is_local(text: str) -> bool:
        name, _, port = text.rpartition(":")
        if not port.isdecimal() or (name.count(":") and not name.endswith("]")):
            name = text
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(name.strip("[]") if name.startswith("[") else name).is_loopback
        return name.lower().rstrip(".") == "localhost"

    def trial(rng: random.Random) -> str:
        port = rng.choice(("", ":7860", ":7860", ":1"))
        host, origin = rng.choice(names) + port, rng.choice(["", "null", *names]) + rng.choice((port, ":7860"))
        method, path = rng.choice(("GET", "GET", "HEAD", "POST", "PUT", "DELETE")), rng.choice(paths)
        headers = [(b"host", host.encode())]
        if rng.random() < 0.7:
            headers.append((b"origin", rng.choice((f"http://{origin}", origin)).encode()))
        status: list[int] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        asyncio.run(middleware(scope, receive, send))
        if status[0] == 200:
            assert is_local(host), f"served under the host name {host!r}"
            assert path in (*GET_PATHS, *POST_PATHS) or path.startswith(GET_FOLDERS), f"served {path}"
            assert method in ("GET", "HEAD", "POST"), f"served {method}"
            assert len(headers) == 1 or is_local(headers[1][1].decode().partition("://")[2]), f"served to {headers[1]}"
        return "read" if status[0] == 200 else "refused"

    return trial


def server_trials(folder: Path) -> Trial:
    from microg4m_hf.inference.api.client import Endpoint
    from microg4m_hf.inference.api.runner import api_runner
    from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
    from tests.support.bad_api_server import BadServer

    clip, key = write_video(folder / "a_001.mp4", count=4), "sk-0123456789abcdef"
    settings = TextSettings("vqa", "served", runner="api", prompts="plain", frames=2)
    plans = PLANS.split()
    options: dict[str, Any] = {"concurrency": 2, "timeout": 0.5, "backoff": 0.01, "max_retries": 1}
    work = [ClipQueries(str(clip), "a_001", tuple(Query(f"q{n}", f"q{n}") for n in range(3)))]

    def trial(rng: random.Random) -> str:
        chosen = {f"q{n}": [rng.choice(plans) for _ in range(3)] for n in range(3)}
        with BadServer(lambda question, attempt: (chosen[question][attempt:] or ["ok"])[0]) as server:
            records = list(api_runner(settings, Endpoint(server.url, key, **options))(work))
        assert len(records) == 3, f"{len(records)} of 3 items"
        assert key not in json.dumps([record for _, record in records]), "the key is in a record"
        return "read"

    return trial


KINDS: dict[str, Callable[[Path], Trial]] = {
    "yaml": yaml_trials,
    "zip": zip_trials,
    "annotations": annotation_trials,
    "predictions": prediction_trials,
    "hosts": host_trials,
    "servers": server_trials,
    **{f"clips ({backend})": clip_trials(backend) for backend in DECODERS},
}
SHARE = {"servers": 0.1, "zip": 0.5}  # of the trials, because these take longer


def child(kind: str, first: int, last: int) -> None:
    """Do the trials of one kind and write a line after each."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY * 4, MEMORY * 4))  # address space; libraries reserve a lot of it
    lines, sys.stdout = sys.stdout, io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MICROG4M_HOME"] = f"{folder}/home"
        trial = KINDS[kind](Path(folder))
        for seed in range(first, last):
            try:
                outcome = trial(random.Random(f"{kind} {seed}"))
            except MicroG4MError as error:
                text = str(error)
                is_line = "\n" not in text and len(text) < 2_000
                outcome = "refused" if is_line else f"failed: an error of {len(text)} characters: {text[:200]!r}"
            except BaseException as error:
                outcome = f"failed: {type(error).__name__}: {str(error)[:300]}"
            print(f"{seed} {' '.join(outcome.split())}", file=lines, flush=True)


def run_kind(kind: str, trials: int) -> dict[str, Any]:
    """Run the trials of one kind, in a new process after every crash."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    begin, seed = time.monotonic(), 0
    while seed < trials:
        words = [sys.executable, __file__, "--child", kind, str(seed), str(trials)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        ready = True
        while True:
            limit = SECONDS * (5 if ready else 1)  # the first trial includes imports
            if not select.select([process.stdout], [], [], limit)[0]:
                process.kill()
                outcomes["failed"] += 1
                failures.append(f"{seed} takes more than {limit} s")
                seed += 1
                break
            line = process.stdout.readline()
            if not line:
                if process.wait() != 0 or seed < trials:
                    outcomes["failed"] += 1
                    failures.append(f"{seed} the process ended with {process.returncode}")
                    seed += 1
                break
            ready = False
            number, _, outcome = line.strip().partition(" ")
            seed = int(number) + 1
            outcomes[outcome.partition(":")[0]] += 1
            if outcome.startswith("failed"):
                failures.append(f"{number} {outcome}")
        process.wait()
    return {
        "trials": trials,
        "read": outcomes["read"],
        "refused": outcomes["refused"],
        "failed": outcomes["failed"],
        "seconds": round(time.monotonic() - begin),
        "failures": failures[:20],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000, help="of every kind (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "results" / "hostile.json")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, first, last = arguments.child
        child(kind, int(first), int(last))
        return
    print(f"{'kind':20} {'trials':>7} {'read':>7} {'refused':>8} {'failed':>7} {'seconds':>8}")
    results = {}
    for kind in arguments.kinds:
        row = run_kind(kind, max(1, round(arguments.trials * SHARE.get(kind, 1))))
        results[kind] = describe_machine("av", "decord", "torchcodec") | row
        print(f"{kind:20} {row['trials']:7} {row['read']:7} {row['refused']:8} {row['failed']:7} {row['seconds']:8}")
        for failure in row["failures"]:
            print(f"    {failure}")
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
