"""``label_map.pbtxt``: checked against the table of actions that the library is built on."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DataError
from ..taxonomy import ACTIONS, RELEASED_GROUPS

_ITEM = re.compile(r"item\s*\{(.*?)\n\s*\}", re.DOTALL)
_FIELD = re.compile(r'^\s*(\w+)\s*:\s*(?:"([^"\n]*)"|(\S+))\s*$', re.MULTILINE)
_MAX_BYTES = 1 << 20


def check_label_map(path: Path, *, name: str | None = None) -> int:
    """Read a label map and refuse one that gives an id another meaning; the number of its classes.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "label_map.pbtxt"
    >>> _ = path.write_text('item {\\n  name: "sit"\\n  id: 12\\n}\\n')
    >>> check_label_map(path)
    Traceback (most recent call last):
    microg4m_hf.errors.DataError: label_map.pbtxt, line 1: action 12 is 'stand', the file calls it: 'sit'
    """
    name = name or path.name
    try:
        data = path.read_bytes()[: _MAX_BYTES + 1]
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror or error})", file=name) from error
    except UnicodeDecodeError:
        raise DataError("this is not UTF-8 text", file=name) from None
    if len(data) > _MAX_BYTES:
        raise DataError("the file is larger than 1 MiB", file=name)
    known = {action.action_id: action for action in ACTIONS}
    seen: set[int] = set()
    for item in _ITEM.finditer(text):
        line = text.count("\n", 0, item.start()) + 1
        fields = {key: quoted or bare for key, quoted, bare in _FIELD.findall(item[1])}
        number = fields.get("id", fields.get("label_id", ""))
        if not re.fullmatch(r"[0-9]{1,9}", number) or int(number) not in known:
            raise DataError("unknown action id", file=name, line=line, value=number)
        action = known[int(number)]
        if action.action_id in seen:
            raise DataError("the action id stands twice", file=name, line=line, value=number)
        seen.add(action.action_id)
        if fields.get("name") != action.name:
            what = f"action {number} is {action.name!r}, the file calls it"
            raise DataError(what, file=name, line=line, value=fields.get("name"))
        if "label_type" in fields and RELEASED_GROUPS.get(fields["label_type"]) != action.group:
            what = f"action {number} is a {action.group}, the file calls it"
            raise DataError(what, file=name, line=line, value=fields["label_type"])
    if not seen:
        raise DataError("the file holds no action", file=name, hint='items look like item { name: "stand" id: 12 }')
    return len(seen)
