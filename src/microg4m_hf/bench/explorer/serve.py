"""Start and stop the explorer on this machine."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...data.sources import VIDEOS_ZIP, resolve_root
from ...data.splits import SCHEMES
from ...errors import MissingFileError, RecipeError, SourceError
from ...extras import require
from ...inference.api.transport import is_loopback
from .app import build, page_style
from .catalogue import Catalogue, read_catalogue
from .predictions import Run, read_runs
from .routes import SameOriginOnly, clip_routes

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
    """Browse clips with boxes, references and predictions in a web page on this machine.

    Args:
        runs: Run folders, folders of run folders, and prediction files, as for ``make_report``.
        data_dir: A local folder with the released files.
        source: ``"sample"`` or a Hub repository.
        revision: Commit, tag or branch of the Hub repository.
        scheme: The split scheme that is shown first.
        task: The task of files whose entries do not show it.
        clips: Whether to download the clips from the Hub.
        host: The address to serve on; ``"0.0.0.0"`` gives the network access.
        port: The port; 0 for any free port.
        browser: Whether to open a browser.
        block: Whether to serve until Ctrl-C. With ``False``, in a notebook for instance, the call returns at once.

    Returns:
        The page; ``.local_url`` is its address and ``.close()`` stops the server.

    Raises:
        RecipeError: The port or the scheme cannot be used.

    Example:
        >>> page = explore(source="sample", port=0, block=False)  # doctest: +SKIP
        >>> page.local_url  # doctest: +SKIP
        'http://127.0.0.1:40123/'
    """
    port = check_port(host, port or free_port())
    require("gradio", "the explorer")
    if scheme not in SCHEMES:
        raise RecipeError(f"unknown scheme {scheme!r}; use {' or '.join(SCHEMES)}")

    def start() -> Any:
        catalogue = load_catalogue(data_dir=data_dir, source=source, revision=revision, clips=clips)
        return launch(
            catalogue, read_runs(runs, catalogue, task=task), scheme=scheme, host=host, port=port, browser=browser
        )

    return _serve_until_interrupt(start) if block else start()


def _serve_until_interrupt(start: Callable[[], Any]) -> Any:
    """Start the server, print its address and wait for Ctrl-C."""
    page = None
    try:
        page = start()
        print(f"explorer: {page.local_url}  (stop with Ctrl-C)", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nexplorer stopped")
    finally:
        if page is not None:
            page.close(verbose=False)
    return page


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
    """Serve the page in the background, with the features of Gradio that contact other servers disabled.

    Args:
        catalogue: The clips.
        runs: The runs whose predictions are shown.
        scheme: The split scheme that is shown first.
        host: The address to serve on.
        port: The port.
        browser: Whether to open a browser.

    Returns:
        The page; ``.local_url`` is its address and ``.close()`` stops the server.

    Raises:
        RecipeError: The page does not respond.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    page = build(catalogue, runs, scheme=scheme)
    middleware = Middleware(SameOriginOnly, local=is_loopback(host))
    try:
        with _no_proxy(host):
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
                app_kwargs={"routes": clip_routes(catalogue), "middleware": [middleware]},
                **page_style(gr),
            )
    except Exception as error:  # Gradio requests its own page once, which fails in many ways
        raise RecipeError(f"the page does not respond on {host}:{port} ({type(error).__name__}: {error})") from error
    return page


@contextlib.contextmanager
def _no_proxy(host: str) -> Iterator[None]:
    """Let Gradio request its own page directly, whatever proxy the environment names."""
    before = {name: os.environ.get(name) for name in ("no_proxy", "NO_PROXY")}
    hosts = ",".join(filter(None, [*before.values(), "localhost", HOST, host]))
    os.environ.update(dict.fromkeys(before, hosts))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def check_port(host: str, port: int) -> int:
    """Return the port, or raise an error that names a free one.

    >>> check_port("127.0.0.1", 70000)
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: port 70000 is not valid; use 1 to 65535, for example --port 7860
    """
    if not 0 < port < 65536:
        raise RecipeError(f"port {port} is not valid; use 1 to 65535, for example --port {PORT}")
    if ":" in host:
        raise RecipeError(f"host {host!r} is an IPv6 address, which Gradio does not support; use --host {HOST}")
    try:
        _bind(host, port)
    except socket.gaierror:
        raise RecipeError(f"host {host!r} is not an address of this machine; use --host {HOST}") from None
    except OSError as error:
        raise RecipeError(
            f"port {port} of {host} cannot be used ({error.strerror}); use --port {free_port(host)}"
        ) from None
    return port


def free_port(host: str = HOST) -> int:
    """Return a port that is not in use."""
    return _bind(host, 0)


def _bind(host: str, port: int) -> int:
    with socket.socket(socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
        return trial.getsockname()[1]
