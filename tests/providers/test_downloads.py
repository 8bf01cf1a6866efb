"""Downloads against a real HTTP server: whole, broken, wrong, endless, and several at once."""

import hashlib
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from providers.downloads import HUB, HubFile, Patience, cache_folder, cached, fetch, hub_address
from providers.errors import (
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    TimedOutError,
)

CONTENT = bytes(range(256)) * 1200  # more than a few pieces
FILE = HubFile("lab/ear", "onnx/ear v1.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
PATH = "/lab/ear/resolve/main/onnx/ear%20v1.bin"
HASTE = Patience(timeout=5, pause=0)


@dataclass
class Hub:
    """A file server on loopback. `script` says what becomes of each request; after that, all is well."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True  # whether it can begin in the middle
    script: list[Callable[["Request"], None]] = field(default_factory=list)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # paths and ranges

    def fetch(self, folder: Path, file: HubFile = FILE, patience: Patience = HASTE) -> Path:
        return fetch(file, hub=self.url, folder=folder, environ={}, patience=patience)


class Request(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        self.hub.requests.append((self.path, self.headers["Range"]))
        act = self.hub.script.pop(0) if self.hub.script else Request.answer
        act(self)

    def answer(self, upto: int | None = None, *, length: bool = True) -> None:
        """The file from where it is asked for, cut off before the byte `upto` of it."""
        asked = self.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.hub.ranges else 0
        total = len(self.hub.content)
        if start:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        if length:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        self.wfile.write(self.hub.content[start:upto])

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


def cut(at: int) -> Callable[[Request], None]:
    return lambda request: request.answer(upto=at)


def status(code: int) -> Callable[[Request], None]:
    return lambda request: request.send_error(code)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy this machine has, it is not asked for loopback."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Request,), {"hub": hub}))
    server.daemon_threads = False  # so that closing waits for them
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


def leftovers(folder: Path) -> list[str]:
    """What lies beside the files, without the lock."""
    return [path.name for path in folder.rglob("*.part")]


def test_a_file_arrives_whole_and_is_found_from_then_on(hub: Hub, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert cached(FILE, tmp_path) is None

    path = fetch(
        FILE,
        hub=hub.url,
        folder=tmp_path,
        environ={},
        on_progress=lambda done, total: seen.append((done, total)),
    )

    assert path.read_bytes() == CONTENT
    assert path == cached(FILE, tmp_path) == FILE.place(tmp_path)
    assert hub.requests == [(PATH, None)]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert leftovers(tmp_path) == []


def test_a_file_that_is_there_is_not_asked_for(hub: Hub, tmp_path: Path) -> None:
    hub.fetch(tmp_path)

    hub.fetch(tmp_path)

    assert len(hub.requests) == 1


def test_a_file_that_was_damaged_on_the_disk_is_replaced(hub: Hub, tmp_path: Path) -> None:
    path = FILE.place(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[::-1])

    hub.fetch(tmp_path)

    assert path.read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.script = [cut(100_000), cut(250_000)]

    assert hub.fetch(tmp_path).read_bytes() == CONTENT

    assert [asked for _, asked in hub.requests] == [None, "bytes=100000-", "bytes=250000-"]


def test_a_server_without_ranges_sends_it_all_once_more(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    hub.script = [cut(100_000)]

    assert hub.fetch(tmp_path).read_bytes() == CONTENT

    assert [asked for _, asked in hub.requests] == [None, "bytes=100000-"]


def test_a_server_that_will_not_continue_is_asked_for_everything(hub: Hub, tmp_path: Path) -> None:
    hub.script = [cut(100_000), status(416)]

    assert hub.fetch(tmp_path).read_bytes() == CONTENT

    assert [asked for _, asked in hub.requests] == [None, "bytes=100000-", None]


def test_a_hub_may_send_elsewhere_for_the_file(hub: Hub, tmp_path: Path) -> None:
    def elsewhere(request: Request) -> None:
        request.send_response(302)
        request.send_header("Location", "/store/5f3a?signature=1")
        request.send_header("Content-Length", "0")
        request.end_headers()

    hub.script = [elsewhere, cut(100_000), elsewhere]

    assert hub.fetch(tmp_path).read_bytes() == CONTENT

    store = "/store/5f3a?signature=1"
    again = "bytes=100000-"
    assert hub.requests == [(PATH, None), (store, None), (PATH, again), (store, again)]


def test_what_one_call_loaded_serves_the_next(hub: Hub, tmp_path: Path) -> None:
    hub.script = [cut(100_000)]
    with pytest.raises(ConnectionFailedError, match="ended too early"):
        hub.fetch(tmp_path, patience=replace(HASTE, attempts=1))
    assert cached(FILE, tmp_path) is None

    assert hub.fetch(tmp_path).read_bytes() == CONTENT

    assert hub.requests[-1][1] == "bytes=100000-"


def test_a_bad_beginning_of_an_earlier_call_costs_only_time(hub: Hub, tmp_path: Path) -> None:
    hub.content = b"\0" * len(CONTENT)
    hub.script = [cut(100_000)]
    with pytest.raises(ConnectionFailedError):
        hub.fetch(tmp_path, patience=replace(HASTE, attempts=1))
    hub.content = CONTENT

    assert hub.fetch(tmp_path).read_bytes() == CONTENT

    assert [asked for _, asked in hub.requests] == [None, "bytes=100000-", None]


def test_a_caller_who_stops_it_can_go_on_later(hub: Hub, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(FILE, hub=hub.url, folder=tmp_path, environ={}, on_progress=stop)

    assert hub.fetch(tmp_path).read_bytes() == CONTENT
    begun = hub.requests[-1][1]
    assert begun is not None
    assert int(begun.removeprefix("bytes=").removesuffix("-")) > len(CONTENT) / 2


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(hub: Hub, tmp_path: Path) -> None:
    hub.content = b"\0" * len(CONTENT)

    with pytest.raises(BadAnswerError, match="checksum"):
        hub.fetch(tmp_path)

    assert cached(FILE, tmp_path) is None
    assert leftovers(tmp_path) == []
    assert len(hub.requests) == 1


def test_a_file_of_another_length_is_not_even_loaded(hub: Hub, tmp_path: Path) -> None:
    hub.content = b"<html>Please log in</html>"

    with pytest.raises(BadAnswerError, match=f"26 bytes instead of {len(CONTENT)}"):
        hub.fetch(tmp_path)

    assert len(hub.requests) == 1


def test_a_body_without_end_is_cut_off(hub: Hub, tmp_path: Path) -> None:
    closed = threading.Event()

    def pour(request: Request) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while True:
                request.wfile.write(CONTENT)
        except OSError:
            closed.set()

    hub.script = [pour]

    with pytest.raises(BadAnswerError, match="more came"):
        hub.fetch(tmp_path)

    assert closed.wait(10)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0


@pytest.mark.parametrize(
    ("code", "kind", "requests"),
    [
        (404, InvalidRequestError, 1),
        (401, InvalidRequestError, 1),
        (501, OverloadedError, 1),
        (500, ConnectionFailedError, 3),
        (429, ConnectionFailedError, 3),
    ],
)
def test_a_refusal_is_told_with_the_way_to_do_it_by_hand(
    hub: Hub, tmp_path: Path, code: int, kind: type[ProviderError], requests: int
) -> None:
    hub.script = [status(code)] * 9

    with pytest.raises(kind, match=f"answers {code}") as caught:
        hub.fetch(tmp_path, patience=replace(HASTE, attempts=3))

    assert len(hub.requests) == requests
    assert hub.url + PATH in str(caught.value)
    assert str(FILE.place(tmp_path)) in str(caught.value)


def test_a_server_in_trouble_for_a_moment_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    def hang_up(request: Request) -> None:
        request.close_connection = True

    hub.script = [status(503), hang_up]

    assert hub.fetch(tmp_path).read_bytes() == CONTENT


def test_the_pauses_between_attempts_grow(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("providers.downloads.time.sleep", pauses.append)
    hub.script = [status(503)] * 3

    hub.fetch(tmp_path, patience=Patience())

    assert pauses == [1.0, 2.0, 4.0]


def test_a_server_that_falls_silent_is_left(hub: Hub, tmp_path: Path) -> None:
    left = threading.Event()

    def stall(request: Request) -> None:
        request.answer(upto=1000)
        request.wfile.flush()
        left.wait(10)

    hub.script = [stall]

    with pytest.raises(ConnectionFailedError, match="nothing came"):
        hub.fetch(tmp_path, patience=Patience(timeout=0.1, attempts=1))
    left.set()


def test_a_server_that_is_too_slow_is_left(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(TimedOutError, match="too slowly"):
        hub.fetch(tmp_path, patience=Patience(grace=0, slowest=1 << 60))


def test_nobody_at_the_address_is_told_at_once(hub: Hub, tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{sock.getsockname()[1]}"

        with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1 cannot be reached"):
            fetch(FILE, hub=nowhere, folder=tmp_path, environ={}, patience=Patience(pause=3600))


def test_of_several_threads_one_downloads(hub: Hub, tmp_path: Path) -> None:
    hub.script = [cut(100_000)]
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: hub.fetch(tmp_path), range(4)))

    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(hub.requests) == 2


def test_of_two_processes_one_downloads(hub: Hub, tmp_path: Path) -> None:
    other_waits = threading.Event()
    program = (
        "import sys; from pathlib import Path; from providers.downloads import HubFile, fetch\n"
        "print('here', flush=True)\n"
        "file = HubFile(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])\n"
        "print(fetch(file, hub=sys.argv[1], folder=Path(sys.argv[6]), environ={}))\n"
    )

    def slowly(request: Request) -> None:
        other_waits.wait(30)
        request.answer()

    hub.script = [slowly]
    wanted = FILE.repository, FILE.path, str(FILE.size), FILE.sha256
    with ThreadPoolExecutor(1) as pool:
        ours = pool.submit(hub.fetch, tmp_path, FILE, Patience(timeout=60))
        other = subprocess.Popen(
            [sys.executable, "-c", program, hub.url, *wanted, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == "here\n"
            other_waits.set()
            printed, _ = other.communicate(timeout=60)

    assert other.returncode == 0
    assert Path(printed.strip()) == ours.result()
    assert ours.result().read_bytes() == CONTENT
    assert len(hub.requests) == 1


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_downloads_can_be_forbidden(hub: Hub, tmp_path: Path, value: str) -> None:
    with pytest.raises(ProviderError, match=r"HF_HUB_OFFLINE.*by hand"):
        fetch(FILE, hub=hub.url, folder=tmp_path, environ={"HF_HUB_OFFLINE": value})

    assert hub.requests == []


def test_what_is_there_may_be_used_all_the_same(hub: Hub, tmp_path: Path) -> None:
    path = hub.fetch(tmp_path)

    assert fetch(FILE, hub=hub.url, folder=tmp_path, environ={"HF_HUB_OFFLINE": "1"}) == path


def test_a_folder_that_cannot_be_written_is_told(hub: Hub, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()

    with pytest.raises(ProviderError, match="cannot write there"):
        hub.fetch(blocked)


def test_the_cache_is_where_the_system_wants_it(tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "openparley"
    assert cache_folder({}).name == "openparley"
    assert cache_folder({}).is_absolute()
    assert cache_folder({"XDG_CACHE_HOME": "relative"}) == cache_folder({})


def test_the_hub_is_the_configured_one_or_that_of_the_environment() -> None:
    mirror, other = "https://mirror.example/hub", "http://10.0.0.1:8080"

    assert hub_address(f"{mirror}/", {"HF_ENDPOINT": other}) == mirror
    assert hub_address(None, {"HF_ENDPOINT": other}) == other
    assert hub_address(None, {}) == HUB
    assert FILE.url(mirror) == mirror + PATH


@pytest.mark.parametrize(
    "address", ["file:///etc", "mirror.example", "ftp://x", "https://", "https://me:pw@x"]
)
def test_what_is_no_address_of_a_hub_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ProviderError) as caught:
        hub_address(address)

    assert "pw" not in str(caught.value)
