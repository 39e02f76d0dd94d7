"""Measure an OpenAI-compatible server of a vision-language model on the questions of the benchmark.

    vllm serve Qwen/Qwen2.5-VL-7B-Instruct --limit-mm-per-prompt '{"image": 9}'
    python benchmarks/vlm_served.py --base-url http://localhost:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct

    python -m sglang.launch_server --model-path Qwen/Qwen2.5-VL-7B-Instruct --enable-metrics
    python benchmarks/vlm_served.py --base-url http://localhost:30000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct

    python benchmarks/vlm_served.py --tiny    # starts `transformers serve` with a tiny random model on this machine

The requests are those of `microg4m predict vqa --runner api`: all questions of a clip after each other, `--concurrency`
at a time; frames are decoded and encoded before the clock starts. The script reports requests and tokens per second and
the latency of requests as seen from here, and reads from the server's /metrics how many prompt tokens came from its
prefix cache and how long the first token took. It writes ``benchmarks/results/vlm_served.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parent.parent

# What servers call a counter. vLLM counts prefix cache queries and hits in tokens; SGLang has the prompt tokens that
# came from its cache, by where they were. Nobody has run this beside either of them: the names are those of their
# documentation (docs.vllm.ai/en/stable/usage/metrics, docs.sglang.ai/references/production_metrics.html).
NAMES = {
    "prompt tokens": ("vllm:prompt_tokens_total", "sglang:prompt_tokens_total"),
    "generated tokens": ("vllm:generation_tokens_total", "sglang:generation_tokens_total"),
    "prefix looked up": (
        "vllm:prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries_total",
        "sglang:prompt_tokens_total",
    ),
    "prefix found": (
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits_total",
        "sglang:cached_tokens_total",
    ),
    "first token, seconds": ("vllm:time_to_first_token_seconds_sum", "sglang:time_to_first_token_seconds_sum"),
    "first token, count": ("vllm:time_to_first_token_seconds_count", "sglang:time_to_first_token_seconds_count"),
}
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{.*\})?\s+([^\s]+)(?:\s+\d+)?$")


def parse_metrics(text: str) -> dict[str, float]:
    """Return the value of every metric of a page of Prometheus, summed over its labels.

    >>> parse_metrics('# TYPE a counter\\na_total{model="x"} 2.0\\na_total{model="y"} 3\\n')
    {'a_total': 5.0}
    """
    found: dict[str, float] = defaultdict(float)
    for line in text.splitlines():
        match = _SAMPLE.match(line.strip())
        if match:
            with contextlib.suppress(ValueError):
                found[match[1]] += float(match[2])
    return dict(found)


def read_metrics(base_url: str) -> dict[str, float] | None:
    """Return the metrics of a server, which are beside /v1, or None if it has none."""
    url = f"{urlsplit(base_url).scheme}://{urlsplit(base_url).netloc}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return parse_metrics(reply.read(1 << 24).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None


def server_figures(before: dict[str, float] | None, after: dict[str, float] | None) -> dict[str, Any]:
    """Return what the counters of a server say about the requests between two readings."""
    if before is None or after is None:
        return {"metrics": "none at /metrics (SGLang needs --enable-metrics)"}

    def grown(what: str) -> float | None:
        for name in NAMES[what]:
            if name in after:
                return after[name] - before.get(name, 0.0)
        return None

    found: dict[str, Any] = {what: grown(what) for what in NAMES}
    figures = {name: value for name, value in found.items() if value is not None and not name.startswith("first")}
    if found["prefix looked up"] and found["prefix found"] is not None:
        figures["prefix hit rate"] = round(found["prefix found"] / found["prefix looked up"], 4)
    if found["first token, count"]:
        figures["first token [s], mean"] = round(found["first token, seconds"] / found["first token, count"], 4)
    return figures or {"metrics": "of another kind: neither vllm: nor sglang:"}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    from microg4m_hf.data import load_dataset
    from microg4m_hf.inference import Endpoint, TextSettings, resolve_settings
    from microg4m_hf.inference.api.client import RequestGate, make_client, send_request
    from microg4m_hf.inference.api.messages import build_request, encode_images
    from microg4m_hf.inference.api.runner import run_threads
    from microg4m_hf.inference.frames import read_frames
    from microg4m_hf.inference.items import group_queries

    where = {"data_dir": options.data_dir} if options.data_dir else {"source": "sample"}
    clips = group_queries("vqa", load_dataset("vqa", split="test", **where))[: options.clips]
    limits = {"max_new_tokens": options.max_new_tokens, "image_side": options.image_side, "frames": options.frames}
    settings = resolve_settings(TextSettings("vqa", model=options.model, runner="api", **limits))
    endpoint = Endpoint(base_url=options.base_url, key_env=options.key_env, concurrency=options.concurrency).resolve()
    bodies = []
    for clip in clips:
        frames = read_frames(clip.video, settings.frames, settings.frame_sampling).frames
        images = encode_images(frames, settings.image_side, settings.image_detail)
        bodies += [build_request(settings, images, query) for query in clip.queries]
    client, gate = make_client(endpoint), RequestGate()

    def ask(body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        begin = time.perf_counter()
        record = send_request(client, endpoint, gate, body)
        return time.perf_counter() - begin, record

    ask(build_request(settings, [], clips[0].queries[0]))  # the server loads and compiles
    before, begin = read_metrics(endpoint.base_url), time.perf_counter()
    tasks = iter([functools.partial(ask, body) for body in bodies])
    answers = list(run_threads(tasks, options.concurrency, 2 * options.concurrency, threading.Event()))
    wall = time.perf_counter() - begin
    time.sleep(options.settle)  # servers update their counters now and then
    after = read_metrics(endpoint.base_url)
    client.close()
    good = [(seconds, record) for seconds, record in answers if record["status"] == "ok"]
    latencies = sorted(seconds for seconds, _ in good)
    tokens = {
        way: sum((record.get("tokens") or {}).get(way, 0) for _, record in good) for way in ("in", "out", "cached")
    }
    return {
        "clips": len(clips),
        "frames": settings.frames,
        "concurrency": options.concurrency,
        "requests, failed": [len(answers), len(answers) - len(good)],
        "seconds": round(wall, 2),
        "requests per second": round(len(good) / wall, 3),
        "tokens per second, prompt": round(tokens["in"] / wall, 1),
        "tokens per second, generated": round(tokens["out"] / wall, 1),
        "latency [s], p50 p90 p99": [round(quantile(latencies, share), 3) for share in (0.5, 0.9, 0.99)],
        "tokens as the replies say": {name: count for name, count in tokens.items() if count},
        "as the server's counters say": server_figures(before, after),
    }


def quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not ordered:
        return float("nan")
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


@contextlib.contextmanager
def tiny_server() -> Iterator[tuple[str, str]]:
    """Serve a tiny random model with `transformers serve`; yield its address and the name of the model."""
    sys.path.insert(0, str(PROJECT))
    from tests.support.tiny_vlm import tiny_vlm

    with tempfile.TemporaryDirectory() as scratch, socket.socket() as free:
        model = tiny_vlm("qwen2_5_vl", Path(scratch) / "model")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--device", "cpu", "--dtype", "float32"]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        with (Path(scratch) / "log").open("w") as log:
            server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            end = time.monotonic() + 300
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > end:
                        sys.exit(f"transformers serve did not start: {(Path(scratch) / 'log').read_text()[-2000:]}")
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1", str(model)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://localhost:8000/v1")
    parser.add_argument("--model", help="the name of the model at the server")
    parser.add_argument("--key-env", metavar="NAME", help="the environment variable with the key")
    parser.add_argument("--tiny", action="store_true", help="measure `transformers serve` with a tiny random model")
    parser.add_argument("--data-dir", help="a release of the dataset (default: the sample)")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=0, help="default: as predict vqa chooses")
    parser.add_argument("--image-side", type=int)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before the counters are read at the end")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "vlm_served.json")
    options = parser.parse_args()
    if not options.tiny and not options.model:
        parser.error("give --model, the name under which the server knows it, or --tiny")
    said = " ".join(["python benchmarks/vlm_served.py", *sys.argv[1:]])
    with contextlib.ExitStack() as stack:
        if options.tiny:
            options.base_url, options.model = stack.enter_context(tiny_server())
        found = {"command": said, "load before": round(os.getloadavg()[0], 1), **measure(options)}
    print(json.dumps(found, indent=1))
    found["server"] = "transformers serve, tiny random Qwen2.5-VL" if options.tiny else options.base_url
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(options.output.read_text()) if options.output.exists() else {}
    rows[f"{found['server']}, {options.concurrency} at a time"] = found
    options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
