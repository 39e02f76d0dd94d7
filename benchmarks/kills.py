"""Kill every writer of the library, fill its disk and make it read-only; then repeat the same command.

    python -m benchmarks.kills --work FOLDER [--kills 20] [--seed 0] [--only NAME …] [--out FILE]

For each writer, the script first runs it to the end. Then it kills it with SIGKILL just before its accesses to the file
system (``--kills`` of them at random, or all of them where the writer takes less than a second) and at ``--kills``
random moments. After a kill, a result that appears in one step must be absent or whole. The same command must then end
with the bytes of the first run, and leave no scratch. Trainings are killed up to four times in one folder before they
are run to the end.

Disks are small tmpfs mounts in a mount namespace of their own, which takes root on Linux. On a full and on a read-only
disk, a command must end with exit code 2 and one line, and the same command must work when there is space.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.effort import describe_machine
from tests.support.hub_server import HubServer
from tests.support.kills import count_steps, kill_after, kill_at_step, run_forked
from tests.support.tiny_vlm import tiny_vlm
from tests.support.train_runs import RECIPE

ROOT = Path(__file__).resolve().parent.parent
STEPS = 4  # optimizer steps of a training


@dataclass
class Writer:
    """A command (``words`` by its target, or a function ``work``), and how to tell what it has written.

    ``resumes``: several kills in one folder. ``varies``: parts of file names with content that differs from run to run,
    such as dates. ``visible``: the result appears in one step. ``disks``: everything it writes is in its target.
    """

    name: str
    words: Callable[[Path], list[str]] = lambda out: []
    resumes: bool = False
    visible: bool = False
    varies: tuple[str, ...] = ()
    disks: bool = True
    digest: Callable[[Path], dict[str, str]] | None = None
    work: Callable[[Path], Any] | None = None


@dataclass
class Row:
    """What was tried with one writer, and what failed."""

    writer: str
    steps: int = 0
    tried: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    date: str | None = None
    machine: str | None = None
    versions: dict[str, str] | None = None

    def count(self, what: str, problem: str | None = None) -> None:
        self.tried[what] = self.tried.get(what, 0) + 1
        if problem:
            self.failed.append(f"{what}: {problem}")


def digest_of(folder: Path, varies: tuple[str, ...] = ()) -> dict[str, str]:
    """Return a hash per file. Files whose content varies count by name only."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            content = b"" if any(word in name for word in varies) else path.read_bytes()
            if name.startswith("journal/"):  # an item that was finished twice has two equal lines
                content = b"".join(sorted(set(content.splitlines(keepends=True))))
            found[name] = hashlib.sha256(content).hexdigest()[:16]
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> str | None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    changed = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
    kinds = (("missing", missing), ("left", extra), ("other", changed))
    parts = [f"{what} {names[:3]}" for what, names in kinds if names]
    return "; ".join(parts) or None


def run_words(writer: Writer, target: Path) -> int:
    if writer.work is not None:
        return writer.work(target) or 0
    from microg4m_hf.cli.main import main

    return main(writer.words(target))


def run_once(writer: Writer, target: Path, log: Path) -> tuple[int, str]:
    """Run a writer to its end in a forked process; return its exit code and its standard error."""
    code = run_forked(lambda: sys.exit(run_words(writer, target)), lambda: redirect(log))
    return code, log.read_text(errors="replace")


def redirect(log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)


def try_kills(writer: Writer, folder: Path, kills: int, seed: int, row: Row) -> None:
    log, rng = folder / "log.txt", random.Random(f"{writer.name} {seed}")
    whole = folder / "whole" / "out"
    whole.parent.mkdir()
    code, said = run_once(writer, whole, log)
    assert code == 0, f"{writer.name}: {said[-2000:]}"
    expected, target = digest_by(writer, whole), fresh(folder)
    began = time.perf_counter()
    row.steps = count_steps(lambda: (redirect(log), run_words(writer, target)))
    duration = time.perf_counter() - began
    if writer.resumes:
        kill_in_chains(writer, folder, log, expected, row, 2 * kills, duration, rng)
        return
    every = range(1, row.steps + 1)
    chosen = list(every) if duration < 1 else sorted(rng.sample(every, min(row.steps, kills)))
    moments = [("at a step", float(step)) for step in chosen]
    moments += [("at a random moment", rng.uniform(0, duration)) for _ in range(kills)]
    for how, when in moments:
        target = fresh(folder)
        killed, problem = kill(writer, target, log, how, when), None
        if writer.visible and target.exists():
            problem = differences(expected, digest_by(writer, target))
            problem = problem and f"partly visible: {problem}"
        if not killed or (writer.visible and target.exists()):
            problem = problem or differences(expected, digest_by(writer, target))  # the kill came after the end
        else:
            problem = problem or run_again(writer, target, log, expected)
        row.count(f"killed {how}" if killed else "ended before the kill", problem)


def kill_in_chains(
    writer: Writer,
    folder: Path,
    log: Path,
    expected: dict[str, str],
    row: Row,
    kills: int,
    duration: float,
    rng: random.Random,
) -> None:
    """Kill a writer that resumes up to four times in one folder, the first time anywhere, then run it to its end."""
    done = 0
    while done < kills:
        target = fresh(folder)
        for attempt in range(4):
            share = rng.random() / (1 if attempt == 0 else 3)  # a resumed run has less to do
            how = rng.choice(["at a step", "at a random moment"])
            when = 1 + share * (row.steps - 1) if how == "at a step" else share * duration
            if not kill(writer, target, log, how, when):
                break
            row.count(f"killed {how}")
            done += 1
        row.count("run to its end", run_again(writer, target, log, expected))


def kill(writer: Writer, target: Path, log: Path, how: str, when: float) -> bool:
    work, quiet = functools.partial(run_words, writer, target), functools.partial(redirect, log)
    return kill_at_step(int(when), work, quiet) if how == "at a step" else kill_after(when, work, quiet)


def run_again(writer: Writer, target: Path, log: Path, expected: dict[str, str]) -> str | None:
    """Run a writer to its end; return what is wrong with its result."""
    code, said = run_once(writer, target, log)
    if code:
        return f"exit code {code}: {said.strip()[-300:]}"
    return differences(expected, digest_by(writer, target)) or scratch_in(target.parent)


def digest_by(writer: Writer, target: Path) -> dict[str, str]:
    return writer.digest(target) if writer.digest else digest_of(target, writer.varies)


def fresh(folder: Path) -> Path:
    """Return a target in a new folder, and remove the folder of the last try."""
    tries = sorted(folder.glob("try-*"))
    place = folder / f"try-{int(tries[-1].name[4:]) + 1 if tries else 0:04d}"
    for former in tries:
        shutil.rmtree(former)
    place.mkdir()
    return place / "out"


def scratch_in(folder: Path) -> str | None:
    left = [path.name for path in folder.rglob("*") if path.suffix in (".part", ".older", ".incomplete")]
    left += [path.name for path in folder.iterdir() if path.name != "out" and not path.name.endswith(".lock")]
    return f"scratch left: {left[:3]}" if left else None


@contextlib.contextmanager
def small_disk(place: Path, kib: int) -> Iterator[Callable[[str], None]]:
    """Mount a tmpfs of some KiB. The yielded function remounts it with other options."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)], check=True)

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def try_disks(writer: Writer, folder: Path, row: Row) -> None:
    log, whole, target = folder / "log.txt", folder / "whole" / "out", folder / "disk" / "out"
    expected = digest_by(writer, whole)
    needed = sum(path.stat().st_blocks for path in whole.rglob("*") if path.is_file()) // 2
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 0.95):
        with small_disk(target.parent, max(8, int(share * needed))) as remount:
            code, said = run_once(writer, target, log)
            row.count("on a full disk" if code else "on a small disk", said_well(code, said) if code else None)
            remount("size=1g")
            row.count("again with space", run_again(writer, target, log, expected))
    with small_disk(target.parent, 1 << 20) as remount:
        remount("ro")
        code, said = run_once(writer, target, log)
        row.count("on a read-only disk", said_well(code, said) if code else "ended as if it had written")
        remount("rw")
        row.count("again on a writable disk", run_again(writer, target, log, expected))


def said_well(code: int, said: str) -> str | None:
    """Return what is wrong with how a command failed: it must be exit code 2 and one line that begins with its name."""
    lines = [line for line in said.splitlines() if line.startswith("microg4m: ")]
    if "Traceback" in said:
        return f"a traceback: {said.strip().splitlines()[-1][:300]}"
    return None if code == 2 and len(lines) == 1 else f"exit code {code}, said {said.strip()[-300:]!r}"


def all_writers(folder: Path, server: HubServer) -> list[Writer]:
    """Prepare inputs in a folder, and return the writers."""
    import datasets

    from microg4m_hf import data, load_dataset
    from microg4m_hf.cli.main import main
    from microg4m_hf.data.sample import ensure_sample, make_sample
    from microg4m_hf.data.unpack import unpack_clips

    sample = ensure_sample()
    archive, recipe, trained, blind = (folder / name for name in ("videos.zip", "probe.yaml", "trained", "blind"))
    with zipfile.ZipFile(archive, "w") as zipped:
        for clip in sorted(sample.rglob("*.mp4"))[:12]:
            zipped.write(clip, f"videos/{clip.relative_to(sample / 'videos').as_posix()}")
    often = RECIPE.replace("workers: 1", "workers: 0").replace("checkpoint_every: 2", "checkpoint_every: 1")
    recipe.write_text(often.replace("max_steps: 10", f"max_steps: {STEPS}"))
    model, release = tiny_vlm("qwen2_5_vl", folder / "vlm"), make_sample(folder / "release", height=48, clips=6)
    data.sample.make_sample = functools.partial(make_sample, height=48, clips=4)  # the same writer, done sooner

    ours = ["--source", "sample"]
    train = ["train", "har", "--config", str(recipe)]
    answer, predict = ["predict", "vqa", "--model", "blind"], ["predict", "har", "--model", str(trained)]
    report = ["report", str(blind), str(trained), *ours, "--resamples", "10"]
    adapt = ["train", "vlm", "--config", str(ROOT / "recipes" / "qwen2_5_vl_lora.yaml"), f"model={model}", "batch=2"]
    adapt += ["source=sample", "frames=2", "dtype=float32", "gradient_checkpointing=false", "checkpoint_every=1"]
    adapt += [f"max_steps={STEPS}"]
    assert main([*train, "--out", str(trained)]) == 0
    assert main([*answer, *ours, "--out", str(blind)]) == 0
    varies = ("environment.json", "metrics.jsonl", "results.json", "README.md", "adapter_config.json", "config.yaml")

    def weights(target: Path) -> dict[str, str]:
        """The learned weights, the losses, and the names of all other files except checkpoints."""
        lines = [json.loads(line) for line in (target / "metrics.jsonl").read_text().splitlines()]
        losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
        files = digest_of(target, (*varies, "checkpoints/")).items()
        return {name: digest for name, digest in files if "checkpoints/" not in name} | {"losses": str(losses)}

    def on_the_hub(kind: str) -> Callable[[Path], dict[str, str]]:
        """The files on the main branch of the repository that a try pushes to."""

        def digest(target: Path) -> dict[str, str]:
            tree = server.repo(kind, f"me/{target.parent.name}").tree()
            # Cards and texts hold the name of the repository, which each try has its own.
            return {name: str(entry.size) if name.startswith("clips/") else "" for name, entry in tree.items()}

        return digest

    def push(target: Path) -> int:
        return main(["data", "push", f"me/{target.parent.name}", "--data-dir", str(release)])

    def push_run(target: Path) -> int:
        return main(["push", str(trained), f"me/{target.parent.name}"])

    def build(target: Path) -> None:
        target.mkdir(exist_ok=True)
        datasets.config.HF_DATASETS_CACHE = target / "cache"  # read at every call
        rows = load_dataset("vqa", split="test", source="sample")
        text = json.dumps(rows.to_list(), default=str)
        (target / "rows").write_text(hashlib.sha256(text.encode()).hexdigest())

    def unpack(target: Path) -> None:
        if not target.exists():
            unpack_clips(archive, target)

    return [
        Writer("sample", lambda out: ["data", "sample", "--out", str(out)], visible=True),
        Writer("build", work=build, disks=False, digest=lambda out: {"rows": (out / "rows").read_text()}),
        Writer("unpack", work=unpack, visible=True, disks=False),
        Writer("export-ava", lambda out: ["data", "export-ava", *ours, "--out", str(out)]),
        Writer("report", lambda out: [*report, "--out", str(out)], visible=True, varies=("report.",)),
        Writer("push of the dataset", work=push, disks=False, digest=on_the_hub("dataset")),
        Writer("push of a run", work=push_run, disks=False, digest=on_the_hub("model")),
        Writer("predictions of answers", lambda out: [*answer, *ours, "--out", str(out)], varies=varies),
        Writer("predictions of actions", lambda out: [*predict, *ours, "--out", str(out)], varies=varies),
        Writer("training", lambda out: [*train, "--out", str(out)], resumes=True, digest=weights),
        Writer("adapter training", lambda out: [*adapt, "--out", str(out)], resumes=True, digest=weights),
    ]


def table(rows: list[Row]) -> str:
    """Return the result as Markdown."""
    lines = ["| writer | tried | failed |", "| --- | --- | --- |"]
    for row in rows:
        tried = ", ".join(f"{count} {what}" for what, count in row.tried.items())
        lines.append(f"| {row.writer} ({row.steps} steps) | {tried} | {len(row.failed)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="a new folder for everything the script writes")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of writers")
    parser.add_argument("--no-disks", action="store_true", help="kills only, which need no root")
    parser.add_argument(
        "--out", type=Path, help="a JSON file, to which the writers that were tried are added; a table beside it"
    )
    args = parser.parse_args()
    if not args.no_disks and os.environ.get("KILLS_NAMESPACE") != "1":  # its mounts are seen by this script alone
        words = ["unshare", "-m", sys.executable, "-m", "benchmarks.kills", *sys.argv[1:]]
        os.execvpe(words[0], words, os.environ | {"KILLS_NAMESPACE": "1"})
    args.work.mkdir(parents=True)
    os.environ |= {"MICROG4M_HOME": str(args.work / "home"), "HF_HOME": str(args.work / "hf")}
    os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
    former = json.loads(args.out.read_text())["rows"] if args.out and args.out.exists() else []
    known = [Row(**row) for row in former]
    with HubServer(args.work / "hub") as server:
        os.environ |= server.environment()
        rows = []
        for writer in all_writers(args.work, server):
            if args.only and writer.name not in args.only:
                continue
            row, began = Row(writer.name, **describe_machine("torch", "datasets")), time.perf_counter()
            place = args.work / writer.name.replace(" ", "-")
            place.mkdir()
            try:
                try_kills(writer, place, args.kills, args.seed, row)
                if writer.disks and not args.no_disks:
                    try_disks(writer, place, row)
            except Exception as error:
                row.failed.append(f"the script itself: {type(error).__name__}: {error}")
            row.seconds = round(time.perf_counter() - began, 1)
            rows.append(row)
            print(table([row]).splitlines()[-1], f"{row.seconds:.0f} s", *row.failed[:5], sep="\n  ", flush=True)
            shutil.rmtree(place, ignore_errors=True)
            if args.out:
                kept = [row for row in known if row.writer not in {row.writer for row in rows}]
                result = {"kills": args.kills, "seed": args.seed, "rows": [vars(row) for row in kept + rows]}
                args.out.write_text(json.dumps(result, indent=1) + "\n")
                args.out.with_suffix(".md").write_text(table(kept + rows) + "\n")
    print(table(rows))
    sys.exit(any(row.failed for row in rows))


if __name__ == "__main__":
    main()
