"""Start and stop a Gradio page on this machine: ports, style, and the features that contact other servers disabled."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..inference.api.transport import is_loopback
from .routes import SameOriginOnly, clip_routes

HOST, PORT = "127.0.0.1", 7860
# Events take milliseconds, so they do not need a queue.
EVENT_OPTIONS: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def serve_until_interrupt(start: Callable[[], Any], name: str) -> Any:
    """Start a page, print its address and wait for Ctrl-C.

    Args:
        start: Starts the page and returns it, see :func:`serve_page`.
        name: What the page is called in what is printed.

    Returns:
        The page, which is closed.
    """
    # At its first event Gradio asks matplotlib for its backend, which loads pyplot if there is no answer yet.
    os.environ.setdefault("MPLBACKEND", "agg")
    page = None
    try:
        page = start()
        print(f"{name}: {page.local_url}  (stop with Ctrl-C)", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print(f"\n{name} stopped")
    finally:
        if page is not None:
            page.close(verbose=False)
    return page


def serve_page(
    page: Any,
    find_clip: Callable[[str], Path | None],
    *,
    host: str = HOST,
    port: int = PORT,
    browser: bool = False,
    style: str = "",
    routes: Sequence[Any] = (),
) -> Any:
    """Serve a page in the background, with its clips.

    Args:
        page: The ``gradio.Blocks``.
        find_clip: See :func:`clip_routes`.
        host: The address to serve on.
        port: The port; 0 for any free port.
        browser: Whether to open a browser.
        style: Style sheets of this page, besides those that all pages share.
        routes: Routes of this page; :mod:`.routes` lists what may be requested.

    Returns:
        The page; ``.local_url`` is its address and ``.close()`` stops the server.

    Raises:
        RecipeError: The page does not respond.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    middleware = Middleware(SameOriginOnly, local=is_loopback(host))
    port = port or free_port(host)  # only now, or another program could take it meanwhile
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
                app_kwargs={"routes": [*clip_routes(find_clip), *routes], "middleware": [middleware]},
                **_page_style(gr, style),
            )
    except Exception as error:  # Gradio requests its own page once, which fails in many ways
        raise RecipeError(
            f"the page does not respond on {host}:{port} ({type(error).__name__}: {error}); try another --port"
        ) from error
    return page


def _page_style(gr: Any, style: str) -> dict[str, Any]:
    """Return theme and style for ``launch``: system fonts, and the colors of the report."""
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
    )
    narrow = f"<style>{page_file('narrow.css')}</style>"
    return {"theme": theme, "css": page_file("style.css") + style, "head": narrow, "footer_links": []}


def page_file(name: str) -> str:
    """Return a script or style sheet that the pages share."""
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")


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
    """Return the port, or raise an error that names a free one. 0 stands for any free port.

    >>> check_port("127.0.0.1", 70000)
    Traceback (most recent call last):
    microg4m_hf.errors.RecipeError: port 70000 is not valid; use 1 to 65535, for example --port 7860
    """
    if not 0 <= port < 65536:
        raise RecipeError(f"port {port} is not valid; use 1 to 65535, for example --port {PORT}")
    if ":" in host:
        raise RecipeError(f"host {host!r} is an IPv6 address, which Gradio does not support; use --host {HOST}")
    try:
        _bind(host, port)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise RecipeError(f"host {host!r} is not an address of this machine; use --host {HOST}") from None
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
