"""When every item fails, the fault is not the items': the run stops, and none of them is marked."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from ..errors import ServerError
from .items import Ask

Results = Iterator[tuple[Ask, dict[str, Any]]]


def stop_when_hopeless(results: Results, where: str, own_fault: Container[str], limit: int) -> Results:
    """Hand on results; failures of other kinds than ``own_fault`` are held back until something else comes.

    ``limit`` of them in a row end the run with ``ServerError``. They stay missing and come again with the same
    command. One such failure among successes is the item's, and its record.
    """
    held: list[tuple[Ask, dict[str, Any]]] = []
    for ask, record in results:
        held.append((ask, record))
        if record["status"] == "ok" or record["kind"] in own_fault:
            yield from held
            held.clear()
        elif len(held) >= limit:
            raise ServerError(
                f"{where}: {limit} items in a row failed, the last one: {record['why']}; "
                "what is finished is kept, the same command goes on"
            )
    yield from held
