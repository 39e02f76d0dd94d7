"""Start the explorer on this machine, and stop it cleanly."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ...data.sources import VIDEOS_ZIP
from ...data.splits import SCHEMES
from ...errors import MissingFileError, RecipeError, SourceError
from ...extras import require
from .app import build, look
from .catalogue import Catalogue, read_catalogue
from .routes import Alone, clip_routes, is_loopback
from .runs import Run, read_runs

HOST, PORT = "127.0.0.1", 7860


def explore(
    runs: Iterable[str | os.PathLike[str]] = (),
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    scheme: str = "official",
    task: str | None = None,
    clips: bool = True,
    host: str = HOST,
    port: int = PORT,
    browser: bool = False,
    block: bool = True,
) -> Any:
    """Browse clips with boxes, references and the predictions of ``runs`` in a web page on this machine.

    ``runs`` are what ``make_report`` takes: run folders, folders of runs, prediction files, ``NAME=PATH``. The data
    set is named as in ``load_dataset``; ``clips=False`` does not fetch the clips from the Hub. ``port=0`` takes any
    free port. With ``block=False`` it returns at once (in a notebook, for instance) and ``.close()`` of what it
    returns stops the server; ``.local_url`` is the address.

    >>> page = explore(source="sample", port=0, block=False)  # doctest: +SKIP
    >>> page.local_url  # doctest: +SKIP
    'http://127.0.0.1:40123/'
    """
    port = check_port(host, port or free_port())
    require("gradio", "the explorer")
    if scheme not in SCHEMES:
        raise RecipeError(f"scheme {scheme!r} is not known; use {' or '.join(SCHEMES)}")

    def start() -> Any:
        catalogue = read_data(data_dir=data_dir, source=source, revision=revision, clips=clips)
        found = read_runs(runs, catalogue, task=task)
        return launch(catalogue, found, scheme=scheme, host=host, port=port, browser=browser)

    return _until_stopped(start) if block else start()


def _until_stopped(start: Callable[[], Any]) -> Any:
    """Start, say where, and stay until Ctrl-C, which may come at any moment and ends in one line."""
    page = None
    try:
        page = start()
        print(f"explorer: {page.local_url}  (Ctrl-C stops it)", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nexplorer stopped")
    finally:
        if page is not None:
            page.close(verbose=False)
    return page


def read_data(
    *,
    data_dir: str | os.PathLike[str] | None = None,
    source: str | None = None,
    revision: str | None = None,
    clips: bool = True,
) -> Catalogue:
    """The data set that is named, with texts and clips where there are any."""
    from ...data.sources import resolve_root

    where: dict[str, Any] = {"data_dir": data_dir, "source": source, "revision": revision}
    if data_dir is None and source != "sample":
        with contextlib.suppress(MissingFileError):  # a repository without texts is still worth a look
            resolve_root("vqa", videos=False, **where)
    try:
        root = resolve_root("har", videos=clips, **where)
    except MissingFileError as error:
        if error.file != VIDEOS_ZIP:
            raise
        raise SourceError(f"{error} (here: --no-clips, clips=False)") from None
    name = "the built-in sample" if source == "sample" else Path(data_dir).name if data_dir else source or "the Hub"
    return read_catalogue(root, f"{name} at {revision}" if revision else name)


def launch(
    catalogue: Catalogue,
    runs: list[Run],
    *,
    scheme: str = "official",
    host: str = HOST,
    port: int = PORT,
    browser: bool = False,
) -> Any:
    """Serve the page in the background; Gradio's own helpers that call elsewhere are off."""
    import gradio as gr
    from starlette.middleware import Middleware

    page = build(catalogue, runs, scheme=scheme)
    alone = Middleware(Alone, own=is_loopback(host))
    try:
        page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            allowed_paths=[],
            app_kwargs={"routes": clip_routes(catalogue), "middleware": [alone]},
            **look(gr),
        )
    except Exception as error:  # Gradio asks its own page once, and fails in many ways where it cannot
        raise RecipeError(
            f"the page does not answer on {host}:{port} ({type(error).__name__}: {error}); behind a proxy, set "
            "NO_PROXY=localhost,127.0.0.1 and start it again"
        ) from error
    return page


def check_port(host: str, port: int) -> int:
    """The port, or an error that names one that is free.

    >>> check_port("127.0.0.1", 70000)
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: port 70000 does not exist; give one from 1 to 65535, for example --port 7860
    """
    if not 0 < port < 65536:
        raise RecipeError(f"port {port} does not exist; give one from 1 to 65535, for example --port {PORT}")
    if ":" in host:
        raise RecipeError(f"host {host!r} is an address of IPv6, which Gradio cannot serve; use --host {HOST}")
    try:
        _bind(host, port)
    except socket.gaierror:
        raise RecipeError(f"host {host!r} is no address of this machine; use --host {HOST}") from None
    except OSError as error:
        raise RecipeError(
            f"port {port} of {host} cannot be used ({error.strerror}); type --port {free_port(host)}"
        ) from None
    return port


def free_port(host: str = HOST) -> int:
    """A port that nobody uses now."""
    return _bind(host, 0)


def _bind(host: str, port: int) -> int:
    with socket.socket(socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        return trial.getsockname()[1]
