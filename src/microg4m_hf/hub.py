"""Access to the Hugging Face Hub: the client, one-line error messages, retries, and leaderboard entries."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ._version import __version__
from .errors import HubError, MicroG4MError, RecipeError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, HfApi

T = TypeVar("T")

BENCHMARK = "LEI-QI-233/MicroG-4M"
# task id in the benchmark's eval.yaml -> (task, score); one value per task
LEADERBOARD = {"har-map50": ("har", "map"), "caption-cider": ("caption", "cider"), "vqa-svqa": ("vqa", "svqa")}
# scores of an action model -> how cards name them
HAR_METRICS = {"map": "mAP@0.5", "f1": "macro F1", "recall": "macro recall", "auroc": "macro AUROC"}

_REMEDIES = {
    400: "the Hub rejected the request",
    401: "the token is missing or invalid; run `hf auth login` or set HF_TOKEN to a token with write permission",
    403: "this account may not read it, or this token has no write permission there; to read a gated repository, "
    "accept its terms on its page; to write, choose a name under your own account or organization, or use a token with "
    "write permission",
    404: "no such repository, revision or file, or it is private and your token cannot read it; run `hf auth login` "
    "with an account that can",
    409: "the repository is being changed at the moment; run the same command again",
    412: "another commit arrived at the same moment; run the same command again",
    429: "too many requests; wait five minutes and run the same command again",
}
_TRANSIENT_STATUS = (408, 500, 502, 503, 504)
# huggingface_hub has changed its HTTP library twice; the packages are what the network errors have in common.
_HTTP_PACKAGES = ("httpx", "httpx2", "httpcore", "requests", "urllib3")


def hub_client(token: str | None = None) -> HfApi:
    """Return a client for the Hub at ``HF_ENDPOINT``, with this token or the one of ``hf auth login``.

    >>> hub_client().library_name
    'microg4m-hf'
    """
    from huggingface_hub import HfApi

    endpoint = (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    return HfApi(endpoint, token=token, library_name="microg4m-hf", library_version=__version__)


@contextlib.contextmanager
def hub_errors(action: str, *, error: type[MicroG4MError] = HubError) -> Iterator[None]:
    """Turn errors of the Hub and the network into one line that says what to do; let all others pass.

    Args:
        action: What is being done, to complete the sentence "cannot ...".
        error: The exception to raise.

    Example:
        >>> with hub_errors("push to me/MicroG-4M"):
        ...     raise ConnectionError("no route to host")
        Traceback (most recent call last):
        microg4m_hf.errors.HubError: cannot push to me/MicroG-4M: the Hub cannot be reached (no route to host); ...
    """
    try:
        yield
    except MicroG4MError:
        raise
    except Exception as cause:
        reason = _describe(cause)
        if reason is None:
            raise
        raise error(f"cannot {action}: {reason}") from cause


def with_retries(call: Callable[[], T]) -> T:
    """Make a request, and after a temporary error of the Hub or the network up to two more times.

    >>> with_retries(lambda: 7)
    7
    """
    for seconds in (1.0, 2.0):
        try:
            return call()
        except Exception as error:
            if http_status(error) not in _TRANSIENT_STATUS and not is_unreachable(error):
                raise
            time.sleep(seconds)
    return call()


def is_unreachable(error: BaseException) -> bool:
    """Return whether the Hub gave no response at all, as opposed to refusing the request."""
    return http_status(error) is None and any(_is_network_error(one) for one in _chain(error))


def http_status(error: BaseException) -> int | None:
    """Return the HTTP status behind an exception, None if there is none.

    >>> http_status(ValueError("no HTTP here")) is None
    True
    """
    for one in _chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _describe(error: Exception) -> str | None:
    status = http_status(error)
    if status == 401 and any(type(one).__name__ == "RepositoryNotFoundError" for one in _chain(error)):
        status = 404  # without a token, the Hub answers 401 for a repository that does not exist
    if status in _REMEDIES:
        return f"{_REMEDIES[status]} ({status}: {_first_line(error)})"
    if status is not None and status >= 500:
        return f"the Hub has an internal error ({status}); run the same command again, finished uploads are kept"
    if type(error).__name__ == "HFValidationError":
        return f"this is not a repository name ({_first_line(error)}); give one like my-name/MicroG-4M"
    for one in _chain(error):
        if _is_network_error(one):
            return f"the Hub cannot be reached ({_first_line(one)}); check the network and run the same command again"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an exception and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_network_error(error: BaseException) -> bool:
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.split(".")[0] in _HTTP_PACKAGES


def _first_line(error: BaseException) -> str:
    text = getattr(error, "server_message", None) or str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def model_index(percentages: Mapping[str, float], **dataset: Any) -> list[EvalResult]:
    """Return the scores of an action model for the front matter of its card.

    Args:
        percentages: The values of :data:`HAR_METRICS`, in percent.
        dataset: ``dataset_type`` and ``dataset_name``; for published scores also ``source_name`` and ``source_url``.

    Example:
        >>> model_index({"map": 46.41}, dataset_type=BENCHMARK, dataset_name="MicroG-4M")[0].metric_name
        'mAP@0.5'
    """
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="video-classification",
            dataset_config="har",
            dataset_split="test",
            metric_type=key,
            metric_name=HAR_METRICS[key],
            metric_value=round(value, 2),
            **dataset,
        )
        for key, value in percentages.items()
    ]


def eval_results(
    task: str, result: Mapping[str, Any], *, revision: str | None = None, source_url: str | None = None
) -> str:
    """Return the text of an ``.eval_results/*.yaml`` file, which enters a score into the Hub's leaderboard.

    Args:
        task: "har", "caption" or "vqa".
        result: The scores and the signature, as ``har_scores`` or ``text_scores`` return them.
        revision: The revision of the dataset.
        source_url: Where the score was published, if this library did not compute it.

    Returns:
        YAML with the score in percent and the signature as a note.

    Raises:
        RecipeError: If the score that the leaderboard shows was not computed.

    Example:
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

    task_id, score = next((task_id, score) for task_id, (kind, score) in LEADERBOARD.items() if kind == task)
    if score not in result["scores"]:
        raise RecipeError(f"the leaderboard shows {score} for {task}, which was not computed; add it to --metrics")
    entry = EvalResultEntry(
        dataset_id=BENCHMARK,
        task_id=task_id,
        value=round(100 * result["scores"][score], 2),
        dataset_revision=revision,
        source_url=source_url,
        notes=str(result["signature"]),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
