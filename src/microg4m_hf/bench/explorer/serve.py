"""Start and stop the explorer on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...data.sources import VIDEOS_ZIP, resolve_root
from ...data.splits import SCHEMES
from ...errors import MissingFileError, RecipeError, SourceError
from ...extras import require
from ...web.serving import HOST, PORT, check_port, serve_page, serve_until_interrupt
from .app import build
from .catalogue import Catalogue, read_catalogue
from .predictions import Run, read_runs
from .report_page import ReportPage


def explore(
    runs: Iterable[str | os.PathLike[str]] = (),
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str = "official",
    task: str | None = None,
    report: str | os.PathLike[str] | None = None,
    clips: bool = True,
    host: str = HOST,
    port: int = PORT,
    browser: bool = False,
    block: bool = True,
) -> Any:
    """Browse clips with boxes, references and predictions in a web page on this machine.

    Args:
        runs: Run folders, folders of run folders, and prediction files, as for ``make_report``.
        data_dir: A local folder with the released files.
        source: ``"sample"`` or a Hub repository.
        revision: Commit, tag or branch of the Hub repository.
        scheme: The split scheme that is shown first.
        task: The task of files whose entries do not show it.
        report: The folder of a report of the same runs. It is served, too; names link to it, and its links lead back.
        clips: Whether to download the clips from the Hub.
        host: The address to serve on; ``"0.0.0.0"`` gives the network access.
        port: The port; 0 for any free port.
        browser: Whether to open a browser.
        block: Whether to serve until Ctrl-C. With ``False``, in a notebook for instance, the call returns at once.

    Returns:
        The page; ``.local_url`` is its address and ``.close()`` stops the server.

    Raises:
        RecipeError: The port or the scheme cannot be used, or there is no report.

    Example:
        >>> page = explore(source="sample", port=0, block=False)  # doctest: +SKIP
        >>> page.local_url  # doctest: +SKIP
        'http://127.0.0.1:40123/'
    """
    port = check_port(host, port)
    require("gradio", "the explorer")
    if scheme not in SCHEMES:
        raise RecipeError(f"unknown scheme {scheme!r}; use {' or '.join(SCHEMES)}")

    shown = ReportPage.read(report) if report is not None else None

    def start() -> Any:
        catalogue = load_catalogue(data_dir=data_dir, source=source, revision=revision, clips=clips)
        found = read_runs(runs, catalogue, task=task)
        return launch(catalogue, found, scheme=scheme, report=shown, host=host, port=port, browser=browser)

    return serve_until_interrupt(start, "explorer") if block else start()


def load_catalogue(
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    clips: bool = True,
) -> Catalogue:
    """Load a dataset, with texts and clips where it has them."""
    where: dict[str, Any] = {"data_dir": data_dir, "source": source, "revision": revision}
    if data_dir is None and source != "sample":
        with contextlib.suppress(MissingFileError):  # a repository without texts can still be shown
            resolve_root("vqa", videos=False, **where)
    try:
        root = resolve_root("har", videos=clips, **where)
    except MissingFileError as error:
        if error.file != VIDEOS_ZIP:
            raise
        raise SourceError(f"{error}; on this page: use --no-clips, or clips=False") from None
    name = "the built-in sample" if source == "sample" else Path(data_dir).name if data_dir else source or "the Hub"
    return read_catalogue(root, f"{name} at {revision}" if revision else name)


def launch(
    catalogue: Catalogue,
    runs: list[Run],
    *,
    scheme: str = "official",
    report: ReportPage | None = None,
    host: str = HOST,
    port: int = PORT,
    browser: bool = False,
) -> Any:
    """Serve the page in the background, with the features of Gradio that contact other servers disabled.

    Args:
        catalogue: The clips.
        runs: The runs whose predictions are shown.
        scheme: The split scheme that is shown first.
        report: The report that names link to.
        host: The address to serve on.
        port: The port; 0 for any free port.
        browser: Whether to open a browser.

    Returns:
        The page; ``.local_url`` is its address and ``.close()`` stops the server.

    Raises:
        RecipeError: The page does not respond.
    """
    page = build(catalogue, runs, scheme=scheme, report=report)
    routes = report.routes() if report else ()
    return serve_page(page, catalogue.clip_file, host=host, port=port, browser=browser, routes=routes)
