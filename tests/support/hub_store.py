"""The storage of the local Hub: repositories with commits, branches and tags, and file contents by hash."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("model", "dataset", "space")
# The suffixes that the real Hub's initial .gitattributes sends to large file storage.
LARGE = {".arrow", ".bin", ".h5", ".mp4", ".npz", ".parquet", ".pt", ".pth", ".pkl", ".safetensors", ".tar", ".zip"}
GITATTRIBUTES = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in sorted(LARGE)).encode()


class HubError(Exception):
    """An error answer: HTTP status, the Hub's error code, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Entry:
    """One file of a tree: the sha256 of its content, its size, and its git object id."""

    sha256: str
    size: int
    git: str
    large: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git

    def listing(self, path: str) -> dict[str, Any]:
        row: dict[str, Any] = {"type": "file", "path": path, "oid": self.git, "size": self.size}
        if self.large:
            row["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return row


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Contents:
    """File contents by sha256, each stored once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        if len(sha256) != 64 or not all(letter in "0123456789abcdef" for letter in sha256):
            raise HubError(400, "BadRequest", f"no sha256: {sha256!r}")
        return self.folder / sha256

    def __contains__(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def add(self, content: bytes, *, large: bool) -> Entry:
        sha256 = hashlib.sha256(content).hexdigest()
        target = self.path(sha256)
        if not target.is_file():
            scratch = target.with_suffix(f".{threading.get_ident()}")
            scratch.write_bytes(content)
            scratch.replace(target)
        return Entry(sha256, len(content), git_oid(content[:134]) if large else git_oid(content), large)

    def read(self, sha256: str) -> bytes:
        return self.path(sha256).read_bytes()


class Repo:
    """One repository: a chain of commits, each with its complete tree."""

    def __init__(self, kind: str, name: str, owner: str, private: bool, contents: Contents, folder: Path) -> None:
        self.kind, self.name, self.owner, self.private = kind, name, owner, private
        self.contents, self.folder = contents, folder
        self.commits: dict[str, dict[str, Any]] = {}
        self.branches: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.lock = threading.RLock()
        first = {".gitattributes": contents.add(GITATTRIBUTES, large=False)}
        self.branches["main"] = self.add_commit(None, first, "initial commit")

    @property
    def sha(self) -> str:
        return self.branches["main"]

    def resolve(self, revision: str) -> str:
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for names in (self.branches, self.tags):
            if name in names:
                return names[name]
        if revision in self.commits:
            return revision
        raise HubError(404, "RevisionNotFound", f"no revision {revision} in {self.name}")

    def tree(self, revision: str = "main") -> dict[str, Entry]:
        """Return path -> entry at a revision."""
        return dict(self.commits[self.resolve(revision)]["tree"])

    def read(self, path: str, revision: str = "main") -> bytes:
        try:
            return self.contents.read(self.tree(revision)[path].sha256)
        except KeyError:
            raise HubError(404, "EntryNotFound", f"no file {path} in {self.name}") from None

    def history(self, revision: str = "main") -> Iterator[dict[str, Any]]:
        sha: str | None = self.resolve(revision)
        while sha is not None:
            yield self.commits[sha]
            sha = self.commits[sha]["parent"]

    def commit(self, branch: str, lines: list[dict[str, Any]]) -> str:
        """Apply all lines of a commit request, or none."""
        with self.lock:
            branch = branch.removeprefix("refs/heads/")
            if branch not in self.branches:
                raise HubError(404, "RevisionNotFound", f"no branch {branch} in {self.name}")
            parent, message = self.branches[branch], ""
            tree = self.tree(branch)
            for line in lines:
                key, value = line["key"], line["value"]
                if key == "header":
                    message = value["summary"]
                    wanted = value.get("parentCommit")
                    if wanted and wanted != parent:
                        raise HubError(412, "PreconditionFailed", "another commit arrived")
                else:
                    self._apply(tree, key, value)
            self.branches[branch] = self.add_commit(parent, tree, message)
            return self.branches[branch]

    def _apply(self, tree: dict[str, Entry], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            tree[path] = self.contents.add(base64.b64decode(value["content"]), large=False)
        elif key == "lfsFile":
            if value["oid"] not in self.contents:
                raise HubError(400, "BadRequest", f"{path}: object {value['oid']} was never uploaded")
            size = self.contents.path(value["oid"]).stat().st_size
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{value['oid']}\nsize {size}\n"
            tree[path] = Entry(value["oid"], size, git_oid(pointer.encode()), True)
        elif key == "deletedFile":
            if tree.pop(path, None) is None:
                raise HubError(400, "BadRequest", f"cannot delete {path}: not there")
        elif key == "deletedFolder":
            for name in [name for name in tree if name.startswith(path.rstrip("/") + "/")]:
                del tree[name]
        else:
            raise HubError(400, "BadRequest", f"unknown operation {key}")

    def add_commit(self, parent: str | None, tree: dict[str, Entry], message: str) -> str:
        content = {path: entry.etag for path, entry in sorted(tree.items())}
        record = json.dumps([self.kind, self.name, parent, content, message, len(self.commits)])
        sha = hashlib.sha1(record.encode()).hexdigest()
        self.commits[sha] = {"sha": sha, "parent": parent, "tree": dict(sorted(tree.items())), "message": message}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / sha).write_text(json.dumps({"parent": parent, "message": message, "tree": content}, indent=1))
        return sha


class Store:
    """All repositories of one Hub."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents = Contents(folder / "contents")
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lock = threading.Lock()

    def create(self, kind: str, name: str, owner: str, *, private: bool = False) -> tuple[Repo, bool]:
        """Return the repository and whether it is new."""
        with self.lock:
            key = (kind, name)
            if key in self.repos:
                return self.repos[key], False
            folder = self.folder / "repos" / f"{kind}s" / name
            self.repos[key] = Repo(kind, name, owner, private, self.contents, folder)
            return self.repos[key], True
