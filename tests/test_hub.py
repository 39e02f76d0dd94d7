"""Errors of the Hub become one line with a remedy, temporary ones are retried, and the client follows HF_ENDPOINT."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from microg4m_hf.data.sources import list_files
from microg4m_hf.errors import HubError, RecipeError, SourceError
from microg4m_hf.hub import http_status, hub_client, hub_errors, is_unreachable, with_retries
from tests.support.hub_server import HubServer


class ResponseError(Exception):
    def __init__(self, status: int, text: str = "refused\nsecond line") -> None:
        super().__init__(text)
        self.response = SimpleNamespace(status_code=status)


class RepositoryNotFoundError(ResponseError):
    """The Hub's client has a class of this name."""


class HFValidationError(ValueError):
    """The Hub's client has a class of this name."""


ReadTimeout = type("ReadTimeout", (Exception,), {"__module__": "httpx2._exceptions"})


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ResponseError(400), r"the Hub rejected the request \(400: refused\)$"),
        (ResponseError(401), r"hf auth login"),
        (RepositoryNotFoundError(401), r"no such repository.*\(404: refused\)$"),
        (ResponseError(403), r"may not read it.* no write permission there; to read .*; to write, choose a name"),
        (ResponseError(404), "no such repository"),
        (ResponseError(409), "run the same command again"),
        (ResponseError(412), "another commit arrived"),
        (ResponseError(429), "wait five minutes"),
        (ResponseError(500), r"an internal error \(500\)"),
        (HFValidationError("bad name"), r"not a repository name \(bad name\)"),
        (ConnectionError("no route"), r"cannot be reached \(no route\)"),
        (TimeoutError(), r"cannot be reached \(TimeoutError\)"),
        (ReadTimeout("slow"), r"cannot be reached \(slow\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_error_has_a_remedy(error: Exception, message: str) -> None:
    with pytest.raises(HubError, match=f"^cannot push to me/x: .*{message}") as caught, hub_errors("push to me/x"):
        raise error
    assert caught.value.__cause__ is error


def test_a_gated_repository_says_how_to_read_it(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    hub.put("dataset", "org/gated", {"actions.csv": b""})
    hub.fail("GET", "/api/datasets/org/gated", status=403, X_Error_Code="GatedRepo")
    with pytest.raises(
        SourceError, match=r"cannot read the dataset org/gated .*: this account may not read it"
    ) as caught:
        list_files("org/gated", "main")
    assert "to read a gated repository, accept its terms on its page" in str(caught.value)


def test_other_errors_pass() -> None:
    for error in (KeyError("a bug"), ResponseError(418), RecipeError("ours")):
        with pytest.raises(type(error)) as caught, hub_errors("push"):
            raise error
        assert caught.value is error


def test_the_caller_chooses_the_class_of_the_error() -> None:
    with pytest.raises(SourceError, match="cannot read"), hub_errors("read", error=SourceError):
        raise ConnectionError("down")


@pytest.mark.parametrize(("error", "calls"), [(ResponseError(503), 3), (ConnectionError(), 3), (ResponseError(403), 1)])
def test_only_temporary_errors_are_retried(error: Exception, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, pauses = [], []
    monkeypatch.setattr("microg4m_hf.hub.time.sleep", pauses.append)

    def call() -> None:
        made.append(1)
        raise error

    with pytest.raises(type(error)):
        with_retries(call)
    assert len(made) == calls and pauses == [1.0, 2.0][: calls - 1]


def test_a_retry_that_works_returns_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microg4m_hf.hub.time.sleep", lambda seconds: None)
    answers = iter([ResponseError(502), 7])

    def call() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert with_retries(call) == 7


def test_the_status_is_found_behind_other_exceptions() -> None:
    outer = ValueError("outer")
    outer.__cause__ = ResponseError(404)
    outer.__cause__.__context__ = outer  # a cycle
    assert http_status(outer) == 404 and not is_unreachable(outer)
    assert is_unreachable(ConnectionError()) and not is_unreachable(KeyError())


def test_the_client_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9/")
    assert (hub_client("hf_x").endpoint, hub_client("hf_x").token) == ("http://127.0.0.1:9", "hf_x")
    monkeypatch.setenv("HF_ENDPOINT", "")
    assert hub_client().endpoint.startswith("http")
