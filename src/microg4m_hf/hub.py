"""The Hub: one client for the library, and its many exceptions as one line that says what to do."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ._version import __version__
from .errors import HubError, MicroG4MError, RecipeError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

_WHY = {
    400: "the Hub does not accept the request",
    401: "the token is missing or not accepted; run `hf auth login` or set HF_TOKEN to a token that may write",
    403: "this token may not write there; choose a name under your own account or organisation, or a token with "
    "the right to write",
    404: "no such repository, revision or file, or it is private and your token may not read it; run `hf auth login` "
    "with an account that may",
    409: "the name is taken by something that is being changed at the moment; run the same command again",
    412: "somebody else changed the repository at the same moment; run the same command again",
    429: "the Hub asks for fewer requests; wait five minutes and run the same command again",
}
_PASSING = (408, 500, 502, 503, 504)
_NETWORK = ("httpx", "httpx2", "httpcore", "requests", "urllib3")


def hub_client(token: str | None = None) -> HfApi:
    """A client of the Hub that ``HF_ENDPOINT`` names now, with the token given or the one of the Hub's own login.

    >>> hub_client().library_name
    'microg4m-hf'
    """
    from huggingface_hub import HfApi

    endpoint = (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    return HfApi(endpoint, token=token, library_name="microg4m-hf", library_version=__version__)


@contextlib.contextmanager
def hub_errors(doing: str, *, error: type[MicroG4MError] = HubError) -> Iterator[None]:
    """Turn what the Hub's client raises into one line; other exceptions pass.

    >>> with hub_errors("push to me/MicroG-4M"):
    ...     raise ConnectionError("no route to host")
    Traceback (most recent call last):
    microg4m_hf.errors.HubError: cannot push to me/MicroG-4M: the Hub cannot be reached (no route to host); check ...
    """
    try:
        yield
    except MicroG4MError:
        raise
    except Exception as problem:
        why = _why(problem)
        if why is None:
            raise
        raise error(f"cannot {doing}: {why}") from problem


def with_retries(call: Callable[[], T], *, attempts: int = 3, pause: float = 1.0) -> T:
    """Call again after a fault of the Hub or the network that may pass; other exceptions and the last one are raised.

    >>> with_retries(lambda: 7)
    7
    """
    for attempt in range(1, attempts):
        try:
            return call()
        except Exception as problem:
            if http_status(problem) not in _PASSING and not is_unreachable(problem):
                raise
            time.sleep(pause * attempt)
    return call()


def is_unreachable(problem: BaseException) -> bool:
    """Whether the Hub could not be asked at all, as opposed to having said no."""
    return http_status(problem) is None and any(_is_network(one) for one in _causes(problem))


def http_status(problem: BaseException) -> int | None:
    """The HTTP status behind an exception, if there is one.

    >>> http_status(ValueError("no HTTP here")) is None
    True
    """
    for one in _causes(problem):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _why(problem: Exception) -> str | None:
    status = http_status(problem)
    if status == 401 and any(type(one).__name__ == "RepositoryNotFoundError" for one in _causes(problem)):
        status = 404  # to an anonymous reader the Hub says of a missing repository what it says of a private one
    if status in _WHY:
        return f"{_WHY[status]} ({status}: {_first_line(problem)})"
    if status is not None and status >= 500:
        return f"the Hub has a fault of its own ({status}); run the same command again, what has arrived is kept"
    if type(problem).__name__ == "HFValidationError":
        return f"this is no repository name ({_first_line(problem)}); give one like my-name/MicroG-4M"
    for one in _causes(problem):
        if _is_network(one):
            reason = f"({_first_line(one)})"
            return f"the Hub cannot be reached {reason}; check the network and run the same command again"
    return None


def _causes(problem: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = problem
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _is_network(problem: BaseException) -> bool:
    # huggingface_hub changed its HTTP library twice; the names of the modules are what its errors have in common.
    return isinstance(problem, (ConnectionError, TimeoutError)) or type(problem).__module__.split(".")[0] in _NETWORK


def _first_line(problem: BaseException) -> str:
    server = getattr(problem, "server_message", None)
    text = server or str(problem).strip() or type(problem).__name__
    return text.splitlines()[0][:200]


# Leaderboard entries for the Hub: ``.eval_results/*.yaml`` files as huggingface_hub's own classes write them.

BENCHMARK = "LEI-QI-233/MicroG-4M"
# task id of the benchmark's eval.yaml -> (task, score); one value stands for a task
LEADERBOARD = {"har-map50": ("har", "map"), "caption-cider": ("caption", "cider"), "vqa-svqa": ("vqa", "svqa")}


def eval_results(
    task: str, result: Mapping[str, Any], *, benchmark: str = BENCHMARK, revision: str | None = None
) -> str:
    """The file for one scored system, value × 100, with the score's recipe as a note.

    >>> print(eval_results("har", {"scores": {"map": 0.46413}, "signature": "har|protocol:paper"}))
    - dataset:
        id: LEI-QI-233/MicroG-4M
        task_id: har-map50
      value: 46.41
      notes: har|protocol:paper
    <BLANKLINE>
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=benchmark,
            task_id=task_id,
            value=round(100 * result["scores"][score], 2),
            dataset_revision=revision,
            notes=str(result["signature"]),
        )
        for task_id, (kind, score) in LEADERBOARD.items()
        if kind == task and score in result["scores"]
    ]
    if not entries:
        wanted = next(score for kind, score in LEADERBOARD.values() if kind == task)
        raise RecipeError(f"the leaderboard's score of {task} is {wanted}, which was not computed; add it to --metrics")
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
