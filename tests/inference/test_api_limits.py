"""No server can hold a run up or fill the memory, and requests to this machine pass no proxy."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.errors import ServerError
from microg4m_hf.inference.api.client import Endpoint
from microg4m_hf.inference.api.runner import api_runner
from microg4m_hf.inference.api.transport import is_loopback, proxy_for
from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
from microg4m_hf.inference.run import run
from tests.support.bad_api_server import BadServer
from tests.support.videos import write_video

KEY = "sk-0123456789abcdef"
SETTINGS = TextSettings("vqa", "served-1", runner="api", prompts="plain", frames=2)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "a_001.mp4")


def ask(video: Path, *plans: str, tries: int = 1, **options: Any) -> tuple[dict[str, Any], BadServer]:
    """Ask one question whose n-th request meets the n-th plan, then "ok"."""
    work = [ClipQueries(str(video), "a_001", (Query("q0", "q0"), Query("q1", "q1")))]
    options = {"concurrency": 1, "timeout": 30.0, "backoff": 0.01, "max_retries": tries, **options}
    with BadServer(
        lambda question, attempt: plans[attempt] if question == "q0" and attempt < len(plans) else "ok"
    ) as s:
        results = {query.id: record for query, record in api_runner(SETTINGS, Endpoint(s.url, KEY, **options))(work)}
    assert results["q1"]["status"] == "ok"
    return results["q0"], s


@pytest.mark.parametrize("status", ["400", "500", "200"])
@pytest.mark.parametrize("what", ["endless", "bomb"])
def test_a_body_of_any_status_is_read_up_to_a_limit(video: Path, what: str, status: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    record, server = ask(video, f"{what}:{status}")
    assert record["status"] == ("failed" if status == "400" else "ok")  # 400 is not retried
    assert server.sent < 120 * 2**20  # of 600 MB; what was sent but not read stays in buffers of the system
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 2**10  # KiB; 600 MB and more before


@pytest.mark.parametrize("what", ["drip", "drip_headers"])
def test_the_timeout_covers_headers_and_body(video: Path, what: str) -> None:
    start = time.monotonic()
    record, _ = ask(video, what, timeout=5.0)
    assert record["status"] == "ok" and record["requests"] == 2
    assert time.monotonic() - start < 90  # the server would send for 100 s


def test_a_server_that_drips_headers_for_ever_fails_its_item_by_a_timeout(video: Path) -> None:
    record, _ = ask(video, "drip_headers", "drip_headers", timeout=1.0)
    assert (record["kind"], record["requests"]) == ("timeout", 2) and "no answer within 1 s" in record["why"]


def test_an_error_whose_body_is_cut_counts_as_a_try(video: Path) -> None:
    record, _ = ask(video, "cut_error")
    assert record["status"] == "ok" and record["requests"] == 2
    record, _ = ask(video, "cut_error", "cut_error")
    assert record["kind"] == "server" and "the server replied 502" in record["why"]


def test_compressed_replies_are_read_if_the_request_allows_the_encoding(video: Path) -> None:
    record, _ = ask(video, "gzip")
    assert record["text"] == "Packed."
    record, _ = ask(video, "brotli")
    assert record["status"] == "ok" and record["requests"] == 2


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("API key not valid. Please pass a valid API key.", "does not accept the key"),
        ("Incorrect API key provided: sk***. You can find your API key in the console.", "does not accept the key"),
        ("Authentication Error, No api key passed in.", "does not accept the key"),
        ("Invalid model name passed in model=served-1. Call `/v1/models` to view available models", "does not know"),
        ("The requested model 'served-1' does not exist", "does not know"),
        ("Model Not Exist", "does not know"),
        ("served-1 is not a valid model ID", "does not know"),
        ("Server is pinned to 'tiny'; requested 'served-1'.", "does not know"),  # transformers serve
        ("No connected db.", "does not accept the key"),  # LiteLLM without a database
        ("Budget has been exceeded! Current cost: 2.1, Max budget: 2.0", "has no quota left"),
        ("No deployments available - crossed budget for provider: openai", "has no quota left"),
    ],
)
def test_a_gateway_that_says_400_for_key_or_model_stops_the_run(
    video: Path, tmp_path: Path, message: str, reason: str
) -> None:
    work = [ClipQueries(str(video), "a_001", tuple(Query(f"q{n}", f"q{n}") for n in range(3)))]
    with BadServer(lambda question, attempt: f"says_400:{message}") as server:
        endpoint = Endpoint(server.url, KEY, concurrency=1)
        with pytest.raises(ServerError, match=reason):
            run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint))
        assert server.counts.total() == 1
    assert not (tmp_path / "items.rank0.jsonl").read_text()


# What vLLM 0.32.0 replies, word for word; the fourth and the last are from the source of SGLang 0.5.23 and from OpenAI.
_TOO_MANY = "At most 9 image(s) may be provided in one prompt. (parameter=image)"
_TOO_LONG = (
    "max_completion_tokens=5000 cannot be greater than max_model_len=600. Please request fewer output tokens. "
    "(parameter=max_completion_tokens, value=5000)"
)


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        ((400, {"message": _TOO_MANY, "param": "image", "code": 400}), "takes fewer images"),
        ((400, {"message": _TOO_LONG, "code": 400}), "takes fewer images or shorter answers"),
        ((404, {"message": "The model `nope` does not exist. Valid aliases: tiny.", "code": 404}), "not know this"),
        ((400, {"message": "Image count 9 exceeds limit 8 per request.", "code": 400}), "takes fewer images"),
        ((401, "Unauthorized"), r"does not accept the key: the server replied 401: Unauthorized;"),
        ((404, None), r"does not know this model or address: the server replied 404: Not Found;"),
        ((400, {"message": "max_tokens is too large: 99999. This model supports at most 16384 completion tokens"}),
         "shorter answers"),
    ],
)  # fmt: skip
def test_what_concerns_every_request_stops_the_run_at_the_first(
    video: Path, tmp_path: Path, reply: tuple[int, Any], shown: str
) -> None:
    status, error = reply
    body = json.dumps({"error": error} if error else {"detail": "Not Found"})
    work = [ClipQueries(str(video), "a_001", tuple(Query(f"q{n}", f"q{n}") for n in range(3)))]
    with BadServer(lambda question, attempt: f"raw:{status} {body}") as server:
        endpoint = Endpoint(server.url, KEY, concurrency=1)
        with pytest.raises(ServerError, match=shown):
            run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint))
        assert server.counts.total() == 1
    assert not (tmp_path / "items.rank0.jsonl").read_text()


def test_a_prompt_that_is_too_long_fails_its_item_after_one_request(video: Path) -> None:
    message = "Input length (817) exceeds model's maximum context length (600)."
    old = "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is 600 tokens"
    for text in (message, old):
        body = json.dumps({"error": {"message": text, "type": "BadRequestError", "param": None, "code": 400}})
        work = [ClipQueries(str(video), "a_001", (Query("q0", "q0"), Query("q1", "q1")))]
        with BadServer(lambda question, attempt, body=body: f"raw:400 {body}" if question == "q0" else "ok") as server:
            results = {q.id: r for q, r in api_runner(SETTINGS, Endpoint(server.url, KEY, concurrency=1))(work)}
        assert (results["q0"]["kind"], results["q0"]["requests"], results["q1"]["status"]) == ("rejected", 1, "ok")
        assert text in results["q0"]["why"]


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_server_broke_off_is_asked_for_again(video: Path, reason: str) -> None:
    choice = {"message": {"role": "assistant", "content": "Two astro"}, "finish_reason": reason}
    broken = f"raw:200 {json.dumps({'choices': [choice]})}"
    record, _ = ask(video, broken)
    assert (record["text"], record["requests"]) == ("Two people.", 2)
    record, _ = ask(video, broken, broken)
    assert record["kind"] == "malformed" and f"gave the answer up (finish_reason '{reason}')" in record["why"]


def test_a_400_after_an_answer_is_a_fault_of_the_item(video: Path) -> None:
    work = [ClipQueries(str(video), "a_001", (Query("q0", "q0"), Query("q1", "q1")))]
    plan = {"q1": "says_400:the model does not exist in this picture"}
    with BadServer(lambda question, attempt: plan.get(question, "ok")) as server:
        results = {q.id: r for q, r in api_runner(SETTINGS, Endpoint(server.url, KEY, concurrency=1))(work)}
    assert results["q0"]["status"] == "ok" and results["q1"]["kind"] == "rejected"


@pytest.mark.parametrize(
    "message",
    [
        "litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException - prompt",
        "OpenAIException - The response was filtered: the prompt triggered Azure OpenAI's content management policy.",
        "blocked by our content filter",
    ],
)
def test_a_gateway_that_passes_on_the_message_of_a_content_filter(video: Path, message: str) -> None:
    work = [ClipQueries(str(video), "a_001", (Query("q0", "q0"), Query("q1", "q1")))]
    with BadServer(lambda question, attempt: {"q1": f"says_400:{message}"}.get(question, "ok")) as server:
        results = {q.id: r for q, r in api_runner(SETTINGS, Endpoint(server.url, KEY, concurrency=1))(work)}
    assert results["q0"]["status"] == "ok" and results["q1"]["kind"] == "content_filter"


@pytest.mark.parametrize("plan", ["says_400:the image is too large", "status:422", "malformed"])
def test_a_short_trial_without_any_answer_leaves_its_items_missing(video: Path, tmp_path: Path, plan: str) -> None:
    work = [ClipQueries(str(video), "a_001", (Query("q0", "q0"), Query("q1", "q1")))]
    with BadServer(lambda question, attempt: plan) as server:
        endpoint = Endpoint(server.url, KEY, concurrency=1, max_retries=0)
        with pytest.raises(ServerError, match=r"no item was answered \(2 tried\)"):
            run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint))
    assert not (tmp_path / "items.rank0.jsonl").read_text()


def test_a_short_trial_against_a_dead_server_leaves_its_items_missing(video: Path, tmp_path: Path) -> None:
    work = [ClipQueries(str(video), "a_001", (Query("q0", "q0"), Query("q1", "q1")))]
    with BadServer() as server:
        pass
    endpoint = Endpoint(server.url, KEY, concurrency=1, max_retries=0)
    with pytest.raises(ServerError, match=r"no item was answered \(2 tried\).*run the same command again"):
        run(SETTINGS, work, tmp_path, lambda: api_runner(SETTINGS, endpoint))
    assert not (tmp_path / "items.rank0.jsonl").read_text()


def test_requests_to_this_machine_pass_no_proxy(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BadServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        record, server = ask(video)
        assert record["status"] == "ok" and server.counts.total() == 2 and not proxy.counts
        assert proxy_for("http://models.example:8000/v1") == proxy.url


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("127.0.0.1.evil.example", False),
        ("127.evil.example", False),
        ("localhost.evil.example", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_a_name_that_begins_like_this_machine_is_not_this_machine(host: str, local: bool) -> None:
    assert is_loopback(host) is local
