"""Run the failure modes of docs/served_models.md against LiteLLM, LitServe and ``transformers serve``.

    uv venv gateway && uv pip install -p gateway/bin/python 'litellm[proxy]'
    uv venv backend && uv pip install -p backend/bin/python litserve
    python benchmarks/served_models.py --litellm gateway/bin/python --litserve backend/bin/python

LitServe serves a model that fails in the way that the name of the model says, LiteLLM is a gateway in front of it with
a master key and limits of its own, and ``transformers serve`` runs a tiny model. Each case is one
``microg4m predict vqa --runner api`` on the six questions of one clip of the sample. The script prints what the page
promises beside what was seen, and writes ``benchmarks/results/served_models.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
KEY = "sk-local-0123456789abcdef"

# A model in LitServe that does what the name of the model in the request says. Every second question is an odd one.
BACKEND = """
import json, os, sys, time
import litserve
from fastapi import HTTPException
from fastapi.responses import JSONResponse

QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
                   "code": "insufficient_quota"}}
FILTER = {"error": {"message": "The response was filtered due to the prompt triggering the content management policy.",
                    "code": "content_filter", "type": "invalid_request_error"}}
CONTEXT = {"error": {"message": "This model's maximum context length is 4096 tokens, the messages have 9000.",
                     "code": "context_length_exceeded", "type": "invalid_request_error"}}


class Ill(litserve.LitAPI):
    def setup(self, device):
        self.seen = {}

    def predict(self, request):
        parts = request.messages[-1].content
        text = next(part.text for part in parts if part.type == "text")
        key = (request.model, text)
        first = key not in self.seen
        number = self.seen.setdefault(key, sum(name == request.model for name, _ in self.seen))
        odd, kind = number % 2 == 1, request.model.split("/")[-1]
        if kind == "busy" and first:
            raise HTTPException(429, "Too many requests")
        if kind == "quota":
            raise HTTPException(429, QUOTA)
        if kind in ("failing", "failing-once") and (first or kind == "failing"):
            raise RuntimeError("out of memory")
        if kind == "conflict-once" and first:
            raise HTTPException(409, "Conflict")
        if kind == "slow":
            time.sleep(6)
        if kind == "slow-once" and first:
            time.sleep(6)
        if kind == "crash":
            os._exit(1)
        if kind == "long":
            yield "x" * (17 << 20)
        if kind == "filtered" and odd:
            raise HTTPException(400, FILTER)
        if kind == "context" and odd:
            raise HTTPException(400, CONTEXT)
        if kind == "unprocessable":
            raise HTTPException(422, "the image has too many pixels")
        text = "" if kind == "empty" and odd else "The crew eats."
        yield {"role": "assistant", "content": text, "prompt_tokens": 90, "completion_tokens": 4, "total_tokens": 94}


if __name__ == "__main__":
    server = litserve.LitServer(Ill(spec=litserve.OpenAISpec()), accelerator="cpu", timeout=20)
    # Without this, LitServe puts errors under "detail", where no client of OpenAI looks.
    server.app.add_exception_handler(
        HTTPException,
        lambda request, error: JSONResponse(
            error.detail if isinstance(error.detail, dict) else {"error": {"message": error.detail}}, error.status_code
        ),
    )
    options = {"generate_client_file": False, "num_api_servers": 1, "log_level": "warning"}
    server.run(host="127.0.0.1", port=int(sys.argv[1]), **options)
"""
BACKEND_MODELS = (
    "well", "busy", "quota", "failing", "failing-once", "conflict-once", "slow", "slow-once", "crash", "long",
    "filtered", "context", "unprocessable", "empty",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run of the command: what the server does, and what the page promises."""

    name: str
    server: str
    model: str
    expected: dict[str, Any]  # finished, failed, missing, kinds, exit; and a part of the last line of the output
    options: tuple[str, ...] = ()
    key: str | None = KEY
    says: str = ""
    more_requests: bool = False  # retries must be counted


def answered(**more: Any) -> dict[str, Any]:
    return {"exit": 0, "finished": 6, "failed": 0, "missing": 0, "kinds": {}} | more


def halved(kind: str) -> dict[str, Any]:
    return {"exit": 1, "finished": 3, "failed": 3, "missing": 0, "kinds": {kind: 3}}


def without_text(kind: str) -> dict[str, Any]:
    return {"exit": 1, "finished": 0, "failed": 6, "missing": 0, "kinds": {kind: 6}}


STOPPED: dict[str, Any] = {"exit": 2, "finished": 0, "failed": 0, "missing": 6, "kinds": {}}
CUT_SHORT = {"exit": 1, "finished": 3, "failed": 3, "missing": 0, "kinds": {"crowded": 3}}
SPENT: dict[str, Any] = {"exit": 2, "failed": 0, "kinds": {}}
NONE = "no item was answered"
FEW = ("--max-retries", "1")


def cases() -> list[Case]:
    found = []
    for server in ("LitServe", "LiteLLM"):
        found += [
            Case("sound server", server, "well", answered()),
            Case("429 at first", server, "busy", answered(), more_requests=True),
            Case("no quota", server, "quota", STOPPED, ("--retry-timeout", "20"),
                 says="has no quota left" if server == "LitServe" else "exceeded your current quota"),
            Case("5xx at first", server, "failing-once", answered(), more_requests=True),
            Case("409 at first", server, "conflict-once", answered(), more_requests=True),
            Case("5xx for every item", server, "failing", STOPPED, FEW, says=NONE),
            Case("timeout at first", server, "slow-once", answered(), ("--timeout", "4", "--concurrency", "1"),
                 more_requests=True),
            Case("timeout for every item", server, "slow", STOPPED, (*FEW, "--timeout", "1"), says=NONE),
            Case("reply of 17 MiB", server, "long", STOPPED, ("--max-retries", "0"), says="longer than"),
            Case("content filter", server, "filtered", halved("content_filter")),
            Case("context too long", server, "context", halved("rejected")),
            Case("422 for every item", server, "unprocessable", STOPPED, says=NONE),
            Case("empty answer", server, "empty", halved("empty")),
            Case("wrong key", server, "well", STOPPED, key="sk-another-0123456789", says="does not accept the key"),
            Case("no key", server, "well", STOPPED, key=None, says="does not accept the key"),
        ]  # fmt: skip
    wait = ("--retry-timeout", "300")
    found += [
        Case("unknown model", "LiteLLM", "nobody", STOPPED, says="does not know this model"),
        Case("its own limit of 3 requests a minute", "LiteLLM", "limited", answered(), wait, more_requests=True),
        Case("its own limit, no patience", "LiteLLM", "limited-2", CUT_SHORT, ("--retry-timeout", "1")),
        Case("its own budget is spent", "LiteLLM", "spent", SPENT, ("--concurrency", "1"), says="has no quota left"),
        Case("backend is down", "LiteLLM", "down", STOPPED, FEW, says=NONE),
        Case("its own timeout for the backend", "LiteLLM", "impatient", STOPPED, FEW, says=NONE),
        Case("cut off at the token limit", "LiteLLM", "cut-off", answered(flags={"length": 6})),
        Case("no text within the token limit", "LiteLLM", "thought", without_text("length")),
        Case("content filter in the answer", "LiteLLM", "filtered-answer", without_text("content_filter")),
        Case("refusal", "LiteLLM", "refusal", without_text("refusal")),
        Case("backend crashes", "LiteLLM", "crash", STOPPED, FEW, says=NONE),
        Case("tiny model", "transformers serve", "", answered(flags={"length": 6}), ("--max-new-tokens", "4")),
        Case("unknown model", "transformers serve", "nobody/nothing", STOPPED, says="does not know this model"),
        Case("nobody listens", "no server", "well", STOPPED, FEW, says=NONE),
    ]  # fmt: skip
    return found


def gateway_config(backend: str, nobody: int) -> dict[str, Any]:
    """LiteLLM's configuration: the models of LitServe by their names, and models with limits of LiteLLM's own."""

    def reply(message: dict[str, Any], finish_reason: str) -> dict[str, Any]:
        usage = {"prompt_tokens": 90, "completion_tokens": 4, "total_tokens": 94}
        choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
        return {"id": "chatcmpl-1", "model": "canned", "choices": [choice], "usage": usage}

    proxied = {"api_base": backend, "api_key": "none"}
    models: dict[str, dict[str, Any]] = {name: {"model": f"openai/{name}", **proxied} for name in BACKEND_MODELS}
    models["limited"] = {"model": "openai/well", **proxied, "rpm": 3}
    models["limited-2"] = {"model": "openai/well", **proxied, "rpm": 3}
    models["spent"] = {
        "model": "openai/well",
        **proxied,
        "max_budget": 1e-9,
        "budget_duration": "1d",
        "input_cost_per_token": 1.0,
        "output_cost_per_token": 1.0,
    }
    models["down"] = {"model": "openai/well", "api_base": f"http://127.0.0.1:{nobody}/v1", "api_key": "none"}
    models["impatient"] = {"model": "openai/slow", **proxied, "timeout": 1}
    canned = {
        "cut-off": reply({"content": "Two people wa"}, "length"),
        "thought": reply({"content": ""}, "length"),
        "filtered-answer": reply({"content": ""}, "content_filter"),
        "refusal": reply({"content": None, "refusal": "I cannot describe people."}, "stop"),
    }
    models |= {
        name: {"model": f"openai/{name}", "api_key": "none", "mock_response": value} for name, value in canned.items()
    }
    return {
        "model_list": [{"model_name": name, "litellm_params": value} for name, value in models.items()],
        "router_settings": {"num_retries": 0, "enable_pre_call_checks": True},
        "litellm_settings": {"num_retries": 0},
        "general_settings": {"master_key": KEY},
    }


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@dataclass
class Servers:
    """The processes that were started, and where they listen."""

    folder: Path
    urls: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, tuple[list[str], dict[str, str], str]] = field(default_factory=dict)

    def start(self, name: str, command: list[str], health: str, **environment: str) -> None:
        """Start a server in a session of its own and wait until it answers."""
        self.commands[name] = command, environment, health
        log = (self.folder / f"{name.replace(' ', '-')}.log").open("ab")
        home = {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "TMPDIR": str(self.folder),
            "OMP_NUM_THREADS": "1",
        }
        self.running[name] = subprocess.Popen(
            command, cwd=self.folder, env=home | environment, stdout=log, stderr=log, start_new_session=True
        )
        end = time.monotonic() + 240
        while True:
            try:
                urllib.request.urlopen(health, timeout=10).close()
                return
            except urllib.error.HTTPError as error:
                if error.code < 500:  # it asks for a key
                    return
            except OSError:
                pass
            if time.monotonic() > end or self.running[name].poll() is not None:
                sys.exit(f"{name} did not start; see {log.name}")
            time.sleep(0.5)

    def restart(self, name: str) -> None:
        self.stop(name)
        command, environment, health = self.commands[name]
        self.start(name, command, health, **environment)

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def serve(args: argparse.Namespace, folder: Path) -> Iterator[Servers]:
    """Start all servers that were asked for, and stop them at the end."""
    import yaml

    servers = Servers(folder)
    servers.urls["no server"] = f"http://127.0.0.1:{free_port()}/v1"
    try:
        ports = {name: free_port() for name in ("LitServe", "LitServe with a key", "LiteLLM", "transformers serve")}
        servers.urls |= {name: f"http://127.0.0.1:{port}/v1" for name, port in ports.items()}
        (folder / "backend.py").write_text(BACKEND)
        for name, more in (("LitServe", {}), ("LitServe with a key", {"LIT_SERVER_API_KEY": KEY})):
            command = [args.litserve, str(folder / "backend.py"), str(ports[name])]
            servers.start(name, command, f"http://127.0.0.1:{ports[name]}/health", **more)
        config = folder / "gateway.yaml"
        config.write_text(yaml.safe_dump(gateway_config(servers.urls["LitServe"], free_port())))
        command = [args.litellm, "-m", "litellm.proxy.proxy_cli", "--config", str(config), "--host", "127.0.0.1"]
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
        command += ["--port", str(ports["LiteLLM"]), "--telemetry", "False"]
        servers.start("LiteLLM", command, f"http://127.0.0.1:{ports['LiteLLM']}/health/liveliness", **quiet)
        port = ports["transformers serve"]
        command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder / "model")]
        command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
        servers.start("transformers serve", command, f"http://127.0.0.1:{port}/health", HF_HUB_OFFLINE="1")
        yield servers
    finally:
        for name in list(servers.running):
            servers.stop(name)


def run_case(case: Case, url: str, model: str, out: Path) -> dict[str, Any]:
    """Run the command once, and return what a user sees."""
    from microg4m_hf.cli.main import main as microg4m

    words = ["predict", "vqa", "--runner", "api", "--base-url", url, "--model", model, "--source", "sample"]
    words += ["--limit", "1", "--frames", "2", "--image-side", "64", "--max-new-tokens", "16", "--out", str(out)]
    os.environ.pop("OPENAI_API_KEY", None)
    if case.key:
        os.environ["OPENAI_API_KEY"] = case.key
    start, shown = time.monotonic(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        code = microg4m([*words, *case.options])
    output = shown.getvalue()
    lines = [line for line in output.splitlines() if line.strip()]
    records: dict[str, Any] = {}
    requests = 0
    for path in out.glob("items.rank*.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            records[record["id"]] = record
            requests += record.get("requests", 0)
    failed = [record for record in records.values() if record["status"] != "ok"]
    results = json.loads((out / "results.json").read_text()) if (out / "results.json").exists() else {}
    kinds = sorted({record["kind"] for record in failed})
    return {
        "exit": code,
        "finished": len(records) - len(failed),
        "failed": len(failed),
        "missing": 6 - len(records),
        "kinds": {kind: sum(record["kind"] == kind for record in failed) for kind in kinds},
        "requests": requests,
        "flags": results.get("flags", {}),
        "served": results.get("served", []),
        "why": failed[0]["why"] if failed else "",
        "last_line": lines[-1] if lines else "",
        "seconds": round(time.monotonic() - start, 1),
        "key_shown": bool(case.key) and case.key in output + json.dumps(results),
    }


def agrees(case: Case, seen: dict[str, Any]) -> bool:
    """Return whether a run did what the page promises."""
    same = all(seen[name] == value for name, value in case.expected.items() if value is not None)
    enough = seen["requests"] > 6 or not case.more_requests
    return same and enough and case.says in seen["last_line"] and not seen["key_shown"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", required=True, metavar="PYTHON", help="an environment with litellm[proxy]")
    parser.add_argument("--litserve", required=True, metavar="PYTHON", help="an environment with litserve")
    parser.add_argument("--only", metavar="WORD", help="only cases with this word; writes no results")
    parser.add_argument("--output", default="benchmarks/results/served_models.json")
    args = parser.parse_args()
    sys.path.insert(0, str(PROJECT))
    from microg4m_hf.data import ensure_sample
    from tests.support.tiny_vlm import tiny_vlm

    ensure_sample()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tiny = tiny_vlm("qwen2_5_vl", folder / "model")
        with serve(args, folder) as servers:
            for number, case in enumerate(cases()):
                if args.only and args.only not in f"{case.name} {case.server} {case.model}":
                    continue
                keyed = case.server == "LitServe" and case.key != KEY
                url = servers.urls["LitServe with a key" if keyed else case.server]
                seen = run_case(case, url, case.model or str(tiny), folder / f"run-{number}")
                seen = json.loads(json.dumps(seen).replace(f"{folder}/", ""))
                rows.append({"case": case.name, "server": case.server, "expected": case.expected, "seen": seen})
                rows[-1]["as_promised"] = agrees(case, seen)
                print(json.dumps(rows[-1]), flush=True)
                if case.model in ("slow", "slow-once", "crash", "impatient"):
                    servers.restart("LitServe")  # it still works on requests that were given up
    print("\n| case | server | promised | seen | as promised |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        promised, seen = short(row["expected"]), short(row["seen"])
        print(f"| {row['case']} | {row['server']} | {promised} | {seen} | {row['as_promised']} |")
    if not args.only:
        versions = {"transformers serve": importlib.metadata.version("transformers")}
        for name, python in (("litellm", args.litellm), ("litserve", args.litserve)):
            code = f"import importlib.metadata as m; print(m.version({name!r}))"
            versions[name] = subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()
        head = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": "python benchmarks/served_models.py --litellm … --litserve …",
            "python": platform.python_version(),
            "versions": versions | {"openai": importlib.metadata.version("openai")},
            "as_promised": f"{sum(row['as_promised'] for row in rows)} of {len(rows)}",
        }
        Path(args.output).write_text(json.dumps(head | {"cases": rows}, indent=1) + "\n")
    sys.exit(0 if all(row["as_promised"] for row in rows) else 1)


def short(values: dict[str, Any]) -> str:
    """Return the counts of a run as a few words."""
    counts = [f"{values[name]} {name}" for name in ("finished", "failed", "missing") if values.get(name)]
    kinds = list(values["kinds"]) + [f"{name} flagged" for name in values.get("flags", {})]
    return f"exit {values['exit']}: {', '.join(counts + kinds)}"


if __name__ == "__main__":
    main()
