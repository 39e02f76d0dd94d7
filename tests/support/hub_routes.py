"""Answer the requests for accounts, repositories, commits and files as the real Hub does."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from .hub_http import HubConnection
from .hub_store import KINDS, LARGE, HubError, Repo

_DATE = "2026-01-01T00:00:00.000Z"


class HubRoutes(HubConnection):
    """Routes a request by its path and answers it from the store."""

    def _route(self) -> None:
        parts = self.parts
        if parts[:1] == ["lfs"]:
            return self._lfs_upload(parts[1])
        if parts[0] != "api":
            return self._plain(parts)
        if parts[1] == "whoami-v2":
            orgs = [{"name": name, "type": "org"} for name in self.hub.orgs]
            return self._reply(
                {"type": "user", "name": self._signed_in(), "orgs": orgs, "auth": {"type": "access_token"}}
            )
        if parts[1:3] == ["repos", "create"]:
            return self._create()
        if parts[1:3] == ["repos", "delete"]:
            return self._delete()
        if parts[1] == "validate-yaml":
            return self._reply({"errors": [], "warnings": []})
        kind = parts[1].removesuffix("s")
        if kind not in KINDS:
            raise HubError(404, "", f"nothing at {self.path}")
        if len(parts) < 4:
            if len(parts) == 3:
                raise HubError(404, "RepoNotFound", "Repository not found")
            listed = [self._about(repo, repo.sha) for (k, _), repo in self.hub.store.repos.items() if k == kind]
            author = self.query.get("author", [None])[0]
            return self._reply([one for one in listed if author in {None, one["author"]}])
        repo = self._repo(kind, "/".join(parts[2:4]))
        what, rest = (parts[4], parts[5:]) if len(parts) > 4 else ("revision", ["main"])
        if what == "revision":
            return self._reply(self._about(repo, repo.resolve(rest[0])))
        if what == "refs":
            return self._refs(repo)
        if what == "commits":
            return self._commits(repo, rest[0])
        if what == "tree":
            return self._tree(repo, rest[0], "/".join(rest[1:]))
        if what == "paths-info":
            return self._paths_info(repo, rest[0])
        if what in {"tag", "branch"}:
            return self._edit_ref(repo, what, "/".join(rest))
        if what == "preupload":
            return self._preupload(repo, rest[0])
        if what == "commit":
            self._check_writable(repo)
            sha = repo.commit(rest[0], [json.loads(line) for line in self.body.splitlines() if line.strip()])
            url = f"{self.hub.endpoint}/{self._prefix(repo)}/commit/{sha}"
            return self._reply({"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})
        raise HubError(404, "", f"nothing at {self.path}")

    def _plain(self, parts: list[str]) -> None:
        """Answer addresses without ``api``: the LFS batch and the files."""
        kind = "model"
        if parts[0] in {"datasets", "spaces"}:
            kind, parts = parts[0].removesuffix("s"), parts[1:]
        if len(parts) >= 2 and parts[1].endswith(".git"):
            return self._lfs_batch(self._repo(kind, f"{parts[0]}/{parts[1].removesuffix('.git')}"))
        if "resolve" not in parts[:3]:
            raise HubError(404, "RepoNotFound", "Repository not found")
        at = parts.index("resolve")
        return self._file(self._repo(kind, "/".join(parts[:at])), parts[at + 1], "/".join(parts[at + 2 :]))

    # Repositories

    def _signed_in(self) -> str:
        if self.user is None:
            raise HubError(401, "", "Invalid username or password.")
        return self.user

    def _repo(self, kind: str, name: str) -> Repo:
        repo = self.hub.store.repos.get((kind, name))
        if repo is None or (repo.private and self.user not in {repo.owner, *self._members(repo.owner)}):
            # The real Hub does not tell an anonymous reader whether a repository is private or missing.
            raise HubError(401 if self.user is None else 404, "RepoNotFound", "Repository not found")
        return repo

    def _members(self, owner: str) -> set[str]:
        return set(self.hub.tokens.values()) if owner in self.hub.orgs else {owner}

    def _check_writable(self, repo: Repo) -> None:
        if self._signed_in() not in self._members(repo.owner):
            raise HubError(403, "", f"You don't have the rights to write to {repo.name}")

    def _create(self) -> None:
        request, user = self._json(), self._signed_in()
        owner = request.get("organization") or user
        if user not in self._members(owner):
            message = (
                f'You don\'t have the rights to create a {request.get("type", "model")} under the namespace "{owner}"'
            )
            raise HubError(403, "", message)
        private = bool(request.get("private") or request.get("visibility") == "private")
        kind = request.get("type") or "model"
        repo, new = self.hub.store.create(kind, f"{owner}/{request['name']}", owner, private=private)
        answer = {"url": f"{self.hub.endpoint}/{self._prefix(repo)}", "name": repo.name, "id": repo.name}
        if not new:
            answer["error"] = f"You already created this {kind} repo"
        self._reply(answer, 200 if new else 409)

    def _delete(self) -> None:
        request = self._json()
        kind, owner = request.get("type", "model"), request.get("organization") or self._signed_in()
        name = f"{owner}/{request['name']}"
        self._check_writable(self._repo(kind, name))
        del self.hub.store.repos[kind, name]
        self._reply({})

    @staticmethod
    def _prefix(repo: Repo) -> str:
        return repo.name if repo.kind == "model" else f"{repo.kind}s/{repo.name}"

    @staticmethod
    def _about(repo: Repo, sha: str) -> dict[str, Any]:
        return {
            "id": repo.name,
            "author": repo.name.split("/")[0],
            "sha": sha,
            "private": repo.private,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "lastModified": _DATE,
            "createdAt": _DATE,
            "siblings": [{"rfilename": path} for path in repo.tree(sha)],
            **({"modelId": repo.name} if repo.kind == "model" else {}),
        }

    def _refs(self, repo: Repo) -> None:
        branches, tags = (
            [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in refs.items()]
            for kind, refs in (("heads", repo.branches), ("tags", repo.tags))
        )
        self._reply({"branches": branches, "tags": tags, "converts": []})

    def _commits(self, repo: Repo, revision: str) -> None:
        common = {"message": "", "date": _DATE, "authors": []}
        self._reply([{"id": one["sha"], "title": one["message"], **common} for one in repo.history(revision)])

    def _edit_ref(self, repo: Repo, what: str, name: str) -> None:
        self._check_writable(repo)
        names = repo.branches if what == "branch" else repo.tags
        with repo.lock:
            if self.command == "DELETE":
                if names.pop(name, None) is None:
                    raise HubError(404, "RevisionNotFound", f"no {what} {name}")
                return self._reply({})
            request = self._json()
            # A tag is made under the revision it points to, a branch under its own name.
            new, start = (name, request.get("startingPoint", "main")) if what == "branch" else (request["tag"], name)
            if new in names:
                raise HubError(409, "", f"{what} {new} already exists")
            names[new] = repo.resolve(start)
        return self._reply({})

    # Files

    def _tree(self, repo: Repo, revision: str, below: str) -> None:
        prefix = f"{below}/" if below else ""
        deep = self.query.get("recursive", ["false"])[0].lower() in {"true", "1"}
        rows: dict[str, dict[str, Any]] = {}
        for path, entry in repo.tree(revision).items():
            if not path.startswith(prefix):
                continue
            steps = path[len(prefix) :].split("/")
            for depth in range(1, len(steps) if deep else min(2, len(steps))):
                folder = prefix + "/".join(steps[:depth])
                rows[folder] = _directory(folder)
            if deep or len(steps) == 1:
                rows[path] = entry.listing(path)
        if below and not rows:
            raise HubError(404, "EntryNotFound", f"{below} does not exist on {revision}")
        self._reply([rows[path] for path in sorted(rows)])

    def _paths_info(self, repo: Repo, revision: str) -> None:
        form = self.headers.get("Content-Type", "")
        paths = self._json()["paths"] if "json" in form else parse_qs(self.body.decode()).get("paths", [])
        tree = repo.tree(revision)
        rows = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in tree:
                rows.append(tree[path].listing(path))
            elif any(name.startswith(f"{path}/") for name in tree):
                rows.append(_directory(path))
        self._reply(rows)

    def _file(self, repo: Repo, revision: str, path: str) -> None:
        sha = repo.resolve(revision)
        entry = repo.tree(sha).get(path)
        if entry is None:
            raise HubError(404, "EntryNotFound", f"{path} does not exist on {revision}")
        content = self.hub.store.contents.read(entry.sha256)
        headers = {"ETag": f'"{entry.etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if entry.large:
            headers |= {"X-Linked-Etag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        status = 200
        if wanted and (wanted[1] or wanted[2]):
            first = int(wanted[1]) if wanted[1] else max(0, entry.size - int(wanted[2]))
            last = min(int(wanted[2]), entry.size - 1) if wanted[1] and wanted[2] else entry.size - 1
            if first >= entry.size:
                return self._send(416, b"", {"Content-Range": f"bytes */{entry.size}"})
            status, content = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{entry.size}"
        return self._send(status, content, headers, "application/octet-stream")

    def _preupload(self, repo: Repo, revision: str) -> None:
        self._check_writable(repo)
        tree = repo.tree(revision)
        files = []
        for file in self._json()["files"]:
            large = Path(file["path"]).suffix in LARGE or file["size"] > 10_000_000
            answer = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
            files.append(answer | ({"oid": tree[file["path"]].etag} if file["path"] in tree else {}))
        self._reply({"files": files})

    def _lfs_batch(self, repo: Repo) -> None:
        self._check_writable(repo)
        objects = []
        for one in self._json()["objects"]:
            row = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.store.contents:
                row["actions"] = {"upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}"}}
            objects.append(row)
        self._reply({"transfer": "basic", "objects": objects})

    def _lfs_upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise HubError(422, "", "the content does not have the stated hash")
        self.hub.store.contents.add(self.body, large=True)
        self.hub.count_upload()
        self._send(200, b"")


def _directory(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0}
