"""Sets of files on the model hub: what they are is asked there, then each is downloaded and checked."""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from providers.downloads import HubFile, Patience, Progress, cache_folder, fetch, hub_address
from providers.errors import (
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
)

__all__ = ["WeightSet", "fetch_set", "find_set"]

MAX_LISTING = 4 << 20  # bytes
MAX_FILE = 16 << 30  # bytes; the largest that is known here has 3


@dataclass(frozen=True, slots=True)
class WeightSet:
    """The files of one model in one repository of the hub.

    Which versions they have, how long they are and their checksums is what the hub says when they are
    downloaded, except for those whose SHA-256 is known here.
    """

    repository: str  # "owner/name"
    files: tuple[str, ...]  # paths within it, the largest last; "a.txt|a.json" is the first of them it has
    size: int  # bytes of all, roughly
    optional: tuple[str, ...] = ()  # paths that only some repositories have
    sha256: tuple[tuple[str, str], ...] = ()  # of files that never change
    revision: str = "main"

    def folder(self, cache: Path | None = None) -> Path:
        """Where its files belong."""
        return HubFile(self.repository, "any", 0, "").place(cache or cache_folder()).parent


def find_set(weights: WeightSet, folder: Path | None = None) -> Path | None:
    """The folder that has all files of the set, an own one or that of downloads; None if any is missing.

    The largest file comes last, so a download that was interrupted is never taken for a whole one.
    """
    place = folder or weights.folder()
    for alternatives in weights.files:
        names = [path.rpartition("/")[2] for path in alternatives.split("|")]
        if not any(_has_content(place / name) for name in names):
            return None
    return place


def fetch_set(
    weights: WeightSet,
    *,
    hub: str | None = None,
    folder: Path | None = None,
    on_progress: Progress = lambda done, total: None,
    environ: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> Path:
    """The folder with all files of the set, downloaded unless they are there. Blocks; raises `ProviderError`.

    As `downloads.fetch`, with progress over all files together.
    """
    variables = os.environ if environ is None else environ
    address = hub_address(hub, variables)
    cache = folder or cache_folder(variables)
    place = weights.folder(cache)
    if variables.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise ProviderError(_by_hand(weights, address, place, "HF_HUB_OFFLINE forbids downloads"))
    patience = patience or Patience()
    try:
        files = _choose(weights, _list_files(weights, address, patience.timeout))
    except ProviderError as error:
        raise type(error)(_by_hand(weights, address, place, str(error))) from error
    total = sum(file.size for file in files)
    before = 0
    for file in files:
        start = before
        fetch(
            file,
            hub=address,
            folder=cache,
            on_progress=lambda done, _, start=start: on_progress(start + done, total),  # type: ignore[misc]
            environ=variables,
            patience=patience,
        )
        before += file.size
    on_progress(total, total)
    return place


def _choose(weights: WeightSet, found: Mapping[str, HubFile]) -> list[HubFile]:
    chosen = [found[path] for path in weights.optional if path in found]
    for alternatives in weights.files:
        present = [path for path in alternatives.split("|") if path in found]
        if not present:
            raise InvalidRequestError(f"{weights.repository} has no {alternatives.replace('|', ' or ')}")
        chosen.append(found[present[0]])
    return chosen


def _list_files(weights: WeightSet, address: str, timeout: float) -> dict[str, HubFile]:
    """What the hub has in the folders that the set's files are in, by path."""
    wanted = [path for entry in (*weights.files, *weights.optional) for path in entry.split("|")]
    known = dict(weights.sha256)
    found: dict[str, HubFile] = {}
    for folder in sorted({path.rpartition("/")[0] for path in wanted}):
        url = f"{address}/api/models/{weights.repository}/tree/{quote(weights.revision, safe='')}"
        for entry in _listing(f"{url}/{quote(folder)}" if folder else url, timeout):
            file = _file(entry, weights, known)
            if file is not None:
                found[file.path] = file
    return found


def _file(entry: Any, weights: WeightSet, known: Mapping[str, str]) -> HubFile | None:
    if not isinstance(entry, dict) or entry.get("type") != "file":
        return None
    path, size, oid, lfs = (entry.get(name) for name in ("path", "size", "oid", "lfs"))
    if not isinstance(path, str) or isinstance(size, bool) or not isinstance(size, int):
        return None
    sha256 = known.get(path) or _hex(lfs.get("oid") if isinstance(lfs, dict) else None, 64)
    git_blob = _hex(oid, 40) if not isinstance(lfs, dict) else ""  # else it is that of a pointer
    if not 0 < size <= MAX_FILE or not (sha256 or git_blob):
        return None
    return HubFile(weights.repository, path, size, sha256, weights.revision, git_blob)


def _listing(url: str, timeout: float) -> Sequence[Any]:
    request = urllib.request.Request(url, headers={"User-Agent": "openparley"})
    host = urlsplit(url).hostname
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            body = answer.read(MAX_LISTING + 1)
    except urllib.error.HTTPError as error:
        with error:
            kind = OverloadedError if error.code >= 500 else InvalidRequestError
            raise kind(f"{host} answers {error.code} to {url}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ConnectionFailedError(f"{host} cannot be reached: {reason}") from error
    try:
        if len(body) > MAX_LISTING:
            raise ValueError
        listing = json.loads(body)
        if not isinstance(listing, list):
            raise ValueError
    except ValueError:
        raise BadAnswerError(f"{host} answers {url} with something that is no list of files") from None
    return listing


def _by_hand(weights: WeightSet, address: str, place: Path, problem: str) -> str:
    paths = [entry.split("|")[0] for entry in (*weights.optional, *weights.files)]
    return (
        f"the weights could not be downloaded: {problem}. To do it by hand, get {', '.join(paths)} of"
        f" {address}/{weights.repository} on a machine that can, and put them into {place}"
    )


def _has_content(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _hex(value: Any, length: int) -> str:
    """The value if it is a checksum of that many digits, else nothing."""
    fits = isinstance(value, str) and len(value) == length and set(value) <= set("0123456789abcdef")
    return str(value) if fits else ""
