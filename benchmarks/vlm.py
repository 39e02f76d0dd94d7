"""Compare six questions about a clip answered from a prefix cache with one generation per question.

    python benchmarks/vlm.py                       # 30M parameters, one CPU thread
    python benchmarks/vlm.py --device cuda --size large # about 3B parameters in bfloat16

All use the same random Qwen2.5-VL, the same clips of 480 × 848 pixels and greedy generation; a clip has about 1,200
visual tokens, as in practice. The baselines use transformers only: the frames are decoded once per clip, then the
processor and ``generate`` run for each question, or for one batch of the six questions. The answers of all three are
compared. Writes ``benchmarks/results/vlm.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

QUESTIONS = (
    "Who floats in the cabin?",
    "How many astronauts are visible in the video?",
    "What does the person on the left hold?",
    "Where does the crew work?",
    "What color is the shirt worn by the astronaut on the left?",
    "Who is talking in the video?",
)
# size -> width and depth of the language model, width and depth of the vision model
SIZES = {
    "tiny": (64, 2, 32, 2),
    "small": (512, 8, 256, 8),
    "medium": (1024, 16, 640, 16),
    "large": (2048, 36, 1280, 32),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="small", choices=SIZES)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--output", default="benchmarks/results/vlm.json")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    from microg4m_hf.inference.items import ClipQueries, Query
    from tests.support.tiny_vlm import tiny_vlm
    from tests.support.videos import pictures, write_video

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        hidden, layers, vision_hidden, vision_layers = SIZES[args.size]
        shape = {"hidden": hidden, "layers": layers, "vision_hidden": vision_hidden, "vision_layers": vision_layers}
        model = tiny_vlm("qwen2_5_vl", folder / "model", pixels=(6 if args.size == "tiny" else 302) * 28 * 28, **shape)
        work = []
        for number in range(args.clips + 1):
            path = write_video(folder / f"clip_{number:03}.mp4", pictures(90, 480, 848, seed=number))
            queries = tuple(Query(f"clip_{number:03}_q{i}", question) for i, question in enumerate(QUESTIONS))
            work.append(ClipQueries(str(path), path.stem, queries))
        found = measure(str(model), work, args)
    found = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": "python benchmarks/vlm.py " + " ".join(sys.argv[1:]),
        **hardware(args.device),
        **found,
    }
    output = Path(args.output)
    results = json.loads(output.read_text()) if output.exists() else {}
    results[args.size] = found
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def measure(model: str, work: list[Any], args: argparse.Namespace) -> dict[str, Any]:

    from microg4m_hf.inference.items import TextSettings
    from microg4m_hf.inference.vlm.loading import Placement
    from microg4m_hf.inference.vlm.local import local_runner

    dtype = "bfloat16" if args.size in ("medium", "large") else "float32"
    settings = TextSettings("vqa", model, frames=8, max_new_tokens=args.tokens, dtype=dtype, prompts="plain")
    runner = local_runner(settings, Placement(device=args.device, batch_size=6, workers=1))
    on_gpu = args.device != "cpu"

    def shared() -> dict[str, str]:
        return {query.id: record["text"] for query, record in runner(work[1:])}

    def one_by_one() -> dict[str, str]:
        return {name: text for clip in work[1:] for name, text in plain(runner, settings, clip, batched=False)}

    def batched() -> dict[str, str]:
        return {name: text for clip in work[1:] for name, text in plain(runner, settings, clip, batched=True)}

    list(runner(work[:1]))  # the check of the first clip, and warm-up
    plain(runner, settings, work[0], batched=False)
    if not runner.shares_prefix:
        raise SystemExit("the model does not support the prefix cache")
    ways, times, texts = {"shared": shared, "one by one": one_by_one, "batched": batched}, {}, {}
    for name, way in ways.items():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times[name], texts[name] = timed(way, on_gpu)
        times[name]["peak memory grew by, MiB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    answers = len(texts["shared"])
    key = "wall" if on_gpu else "cpu"
    return {
        "parameters": sum(p.numel() for p in runner.generator.model.parameters()),
        "dtype": dtype,
        "clips": len(work) - 1,
        "questions a clip": len(QUESTIONS),
        "new tokens": args.tokens,
        "prompt tokens": prompt_tokens(runner, settings, work[0]),
        "seconds": times,
        "same answers": {
            name: sum(texts[name][item] == texts["shared"][item] for item in texts["shared"]) / answers
            for name in ("one by one", "batched")
        },
        f"speed-up ({key} time) over one by one": round(times["one by one"][key] / times["shared"][key], 2),
        f"speed-up ({key} time) over one batch": round(times["batched"][key] / times["shared"][key], 2),
        "tokens per second": {name: round(answers * args.tokens / spent[key], 1) for name, spent in times.items()},
    }


def plain(runner: Any, settings: Any, clip: Any, *, batched: bool) -> list[tuple[str, str]]:
    """Answer with transformers only."""
    import torch

    from microg4m_hf.inference.frames import read_frames

    model, processor = runner.generator.model, runner.prompt_builder.processor
    shown = read_frames(clip.video, settings.frames, settings.frame_sampling)
    seen = {"type": "video", "video": shown.frames}
    conversations = [
        [{"role": "user", "content": [seen, {"type": "text", "text": query.question}]}] for query in clip.queries
    ]
    texts: list[str] = []
    for group in [conversations] if batched else [[one] for one in conversations]:
        inputs = processor.apply_chat_template(
            group,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={
                "do_sample_frames": False, "video_metadata": [shown.metadata] * len(group), "padding": True
            },
        ).to(model.device)  # fmt: skip
        with torch.inference_mode():
            out = model.generate(**inputs, max_new_tokens=settings.max_new_tokens, do_sample=False)
        said = processor.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        texts += [text.strip() for text in said]
    return [(query.id, text) for query, text in zip(clip.queries, texts, strict=True)]


def prompt_tokens(runner: Any, settings: Any, clip: Any) -> int:
    from microg4m_hf.inference.frames import read_frames
    from microg4m_hf.inference.vlm.inputs import InputPreparer

    shown = read_frames(clip.video, settings.frames, settings.frame_sampling)
    return len(InputPreparer(runner.prompt_builder).prepare(clip, shown)[0].input_ids[0])


def timed(way: Callable[[], dict[str, str]], on_gpu: bool) -> tuple[dict[str, Any], dict[str, str]]:
    import torch

    if on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    texts = way()
    if on_gpu:
        torch.cuda.synchronize()
    spent = {"wall": round(time.perf_counter() - wall, 2), "cpu": round(time.process_time() - cpu, 2)}
    if on_gpu:
        spent["peak GPU memory, MiB"] = torch.cuda.max_memory_allocated() >> 20
    return spent, texts


def hardware(device: str) -> dict[str, Any]:
    import torch
    import transformers

    return {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "load before": os.getloadavg()[0],
        "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


if __name__ == "__main__":
    main()
