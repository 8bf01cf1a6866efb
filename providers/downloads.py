"""Fetches model files that do not come in wheels: resumed, checked, and there either whole or not at all.

Files come from a model hub or a mirror of one with the same paths. The client is urllib's: engines load in
worker threads, so it may block; it knows the system's proxies and certificates, and a download of hundreds of
megabytes gains nothing from an event loop.
"""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.parse import quote, urlsplit

import filelock
import platformdirs

from providers.errors import (
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    TimedOutError,
)

__all__ = ["HUB", "HubFile", "Patience", "Progress", "cache_folder", "cached", "fetch", "hub_address"]

HUB = "https://huggingface.co"

Progress = Callable[[int, int], None]  # the bytes that are here, and how many there will be

_PIECE = 1 << 16  # bytes
_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}  # statuses that may be others in a second


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a model, as it must be."""

    repository: str  # "owner/name"
    path: str  # within the repository
    size: int  # bytes; what is longer is not read
    sha256: str  # empty where only `git_blob` is known
    revision: str = "main"
    git_blob: str = ""  # the SHA-1 that git knows it by: all that the hub tells of small files

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def url(self, hub: str = HUB) -> str:
        """Where it is on the hub of that address."""
        return f"{hub}/{self.repository}/resolve/{quote(self.revision, safe='')}/{quote(self.path)}"

    def place(self, folder: Path) -> Path:
        """Where it is within a cache folder."""
        return folder / "models" / self.repository.replace("/", "--") / self.name


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may keep a download waiting."""

    timeout: float = 30.0  # seconds without a byte
    attempts: int = 5  # connections, each of which goes on where the one before broke
    pause: float = 1.0  # seconds after the first that broke; twice as long after each further one
    grace: float = 120.0  # seconds that are not counted
    slowest: int = 32 * 1024  # bytes per second after that, by far too few for anybody who waits


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The user's folder for files that can be fetched again: that of the system, or in XDG_CACHE_HOME."""
    home = (os.environ if environ is None else environ).get("XDG_CACHE_HOME")
    if home and Path(home).is_absolute():  # relative ones are to be ignored, says the XDG specification
        return Path(home) / "openparley"
    return platformdirs.user_cache_path("openparley", appauthor=False)


def hub_address(configured: str | None = None, environ: Mapping[str, str] | None = None) -> str:
    """The hub in use: the configured one, else that of HF_ENDPOINT, else `HUB`. Raises `ProviderError`."""
    variables = os.environ if environ is None else environ
    address = (configured or variables.get("HF_ENDPOINT") or HUB).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise InvalidRequestError("the address of the model hub must be http:// or https:// and a host")
    return address


def cached(file: HubFile, folder: Path | None = None) -> Path | None:
    """Where an earlier `fetch` put the file; None if it is not there."""
    place = file.place(folder or cache_folder())
    try:
        return place if place.stat().st_size == file.size else None
    except OSError:
        return None


def fetch(
    file: HubFile,
    *,
    hub: str | None = None,
    folder: Path | None = None,
    on_progress: Progress = lambda done, total: None,
    environ: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> Path:
    """The file in the cache folder, downloaded unless it is there already. Blocks; raises `ProviderError`.

    What was loaded before a connection broke is kept, also for the next call and the next process. Of several
    callers, in whatever process, one downloads and the others wait for it. `on_progress` is called in the
    caller's thread, and what it raises ends the download.
    """
    variables = os.environ if environ is None else environ
    address = hub_address(hub, variables)
    place = file.place(folder or cache_folder(variables))
    patience = patience or Patience()
    seconds = patience.grace + file.size / patience.slowest
    url = file.url(address)
    try:
        if _is_whole(place, file):
            return place
        if variables.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
            raise ProviderError(_by_hand(url, place, "HF_HUB_OFFLINE forbids downloads"))
        place.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{place}.lock", timeout=seconds):
            if not _is_whole(place, file):
                _Download(file, url, place, patience, time.monotonic() + seconds, on_progress).run()
        return place
    except filelock.Timeout:
        problem = f"another process has been downloading it for {seconds:.0f} s"
        raise TimedOutError(_by_hand(url, place, problem)) from None
    except OSError as error:
        raise ProviderError(_by_hand(url, place, f"cannot write there: {error}")) from error


class _BrokenError(Exception):
    """The connection did not bring everything. Another one may."""


class _Download:
    """One download into a part file beside its place, which it becomes once it is whole."""

    def __init__(
        self, file: HubFile, url: str, place: Path, patience: Patience, ends: float, on_progress: Progress
    ) -> None:
        self._file = file
        self._url = url
        self._place = place
        self._patience = patience
        self._ends = ends  # time.monotonic()
        self._on_progress = on_progress
        # Named by what it is to become, so that no other version is ever continued.
        checksum = file.sha256 or file.git_blob
        self._part = place.with_name(f"{place.name}.{checksum[:12]}.part")

    def run(self) -> None:
        inherited = self._part.exists()
        pause = self._patience.pause
        for attempt in range(1, self._patience.attempts + 1):
            try:
                self._load()
            except _BrokenError as error:
                if attempt == self._patience.attempts:
                    raise ConnectionFailedError(self._failed(f"{error}, {attempt} times")) from error
                time.sleep(pause)
                pause *= 2
                continue
            if _is_whole(self._part, self._file):
                self._part.replace(self._place)
                return
            self._part.unlink()
            if not inherited:
                raise BadAnswerError(self._failed("what came has another checksum"))
            inherited = False  # an earlier process may have left something bad in front: all of it once more
        raise BadAnswerError(self._failed("what came has another checksum"))

    def _load(self) -> None:
        """Bring the part file to its full length. Raises `_BrokenError` when it stays shorter."""
        with self._part.open("ab") as part:
            if part.tell() > self._file.size:
                _empty(part)
            start = part.tell()
            if start == self._file.size:
                return
            with self._connect(start, part) as answer:
                if not _continues(answer, start):
                    _empty(part)
                self._check_length(answer, part.tell())
                self._copy(answer, part)
            part.flush()
            os.fsync(part.fileno())
            if part.tell() < self._file.size:
                raise _BrokenError("the connection ended too early")

    def _connect(self, start: int, part: BinaryIO) -> http.client.HTTPResponse:
        headers = {"User-Agent": "openparley", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        request = urllib.request.Request(self._url, headers=headers)
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=self._patience.timeout)
        except urllib.error.HTTPError as error:
            with error:
                self._refuse(error.code, part)
        except urllib.error.URLError as error:  # not even connected
            problem = f"{urlsplit(self._url).hostname} cannot be reached: {error.reason}"
            raise ConnectionFailedError(self._failed(problem)) from error
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError("the server does not answer") from error
        return answer

    def _copy(self, answer: http.client.HTTPResponse, part: BinaryIO) -> None:
        done = part.tell()
        while True:
            self._on_progress(done, self._file.size)
            try:
                piece = answer.read1(_PIECE)
            except TimeoutError as error:
                raise _BrokenError(f"nothing came for {self._patience.timeout:.0f} s") from error
            except (OSError, http.client.HTTPException) as error:
                raise _BrokenError("the connection broke") from error
            if not piece:
                return
            done += len(piece)
            if done > self._file.size:
                _empty(part)
                raise BadAnswerError(self._failed(f"more came than its {self._file.size} bytes"))
            part.write(piece)
            if time.monotonic() > self._ends:
                raise TimedOutError(self._failed("it comes too slowly; try again, it goes on from here"))

    def _check_length(self, answer: http.client.HTTPResponse, start: int) -> None:
        length = answer.length  # of its body; None where the server does not say
        if length is not None and start + length != self._file.size:
            problem = f"the server has {start + length} bytes instead of {self._file.size}"
            raise BadAnswerError(self._failed(problem))

    def _refuse(self, status: int, part: BinaryIO) -> NoReturn:
        if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.tell():
            _empty(part)  # the next attempt asks for everything
            raise _BrokenError("the server cannot continue it")
        if status in _MAY_PASS:
            raise _BrokenError(f"the server answers {status}")
        kind = OverloadedError if status >= 500 else InvalidRequestError
        meaning = http.client.responses.get(status, "")
        raise kind(self._failed(f"the server answers {status} {meaning}".rstrip()))

    def _failed(self, problem: str) -> str:
        return _by_hand(self._url, self._place, problem)


def _continues(answer: http.client.HTTPResponse, start: int) -> bool:
    """Whether an answer goes on behind the first `start` bytes; servers may also send everything."""
    found = re.match(r"bytes (\d{1,18})-", answer.headers.get("Content-Range", ""))
    return answer.status == http.HTTPStatus.PARTIAL_CONTENT and found is not None and int(found[1]) == start


def _empty(part: BinaryIO) -> None:
    part.seek(0)
    part.truncate()


def _is_whole(path: Path, file: HubFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        if file.sha256:
            return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        while piece := content.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest() == file.git_blob


def _by_hand(url: str, place: Path, problem: str) -> str:
    return (
        f"{place.name} could not be downloaded: {problem}. To do it by hand, get {url} on a machine that can,"
        f" and put it at {place}"
    )
