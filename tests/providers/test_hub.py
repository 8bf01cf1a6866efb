"""Sets of weights: what the hub is asked, what is checked, what is said when it fails."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.downloads import Patience
from providers.errors import BadAnswerError, ConnectionFailedError, InvalidRequestError, ProviderError
from providers.hub import WeightSet, fetch_set, find_set
from providers.weights_catalog import CATALOG, catalog_entry

FILES = {"config.json": b'{"a": 1}', "onnx/model.onnx": bytes(range(256)) * 900, "vocabulary.json": b"[]"}
SET = WeightSet(
    "lab/ear",
    ("config.json", "vocabulary.txt|vocabulary.json", "onnx/model.onnx"),
    1,
    optional=("preprocessor_config.json",),
)
PATIENT = Patience(timeout=5, attempts=2, pause=0.01)


def entry(path: str, content: bytes) -> dict[str, Any]:
    """As the hub lists a file: large ones by their SHA-256, small ones by the SHA-1 that git has."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    listed = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if path.endswith(".onnx"):
        digest = hashlib.sha256(content).hexdigest()
        listed |= {"oid": "0" * 40, "lfs": {"oid": digest, "size": len(content), "pointerSize": 134}}
    return listed


class Hub:
    """A model hub on loopback, which has what `contents` says and lists what `listing` says."""

    def __init__(self) -> None:
        self.contents = dict(FILES)
        self.listing: dict[str, Any] = {
            "": [entry(path, content) for path, content in FILES.items() if "/" not in path]
            + [{"type": "directory", "path": "onnx", "oid": "1" * 40, "size": 0}],
            "onnx": [entry("onnx/model.onnx", FILES["onnx/model.onnx"])],
        }
        self.asked: list[str] = []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked.append(self.path)
                self._answer(hub.answer(self.path))

            def _answer(self, body: bytes | None) -> None:
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Be quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False  # so that closing waits for them
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> bytes | None:
        tree, content = "/api/models/lab/ear/tree/main", "/lab/ear/resolve/main/"
        if path.startswith(tree):
            listed = self.listing.get(path.removeprefix(tree).removeprefix("/"))
            return listed if isinstance(listed, bytes | None) else json.dumps(listed).encode()
        return self.contents.get(path.removeprefix(content))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield hub
    hub.server.shutdown()
    thread.join()
    hub.server.server_close()


def get(hub: Hub, folder: Path, weights: WeightSet = SET, **named: Any) -> Path:
    return fetch_set(weights, hub=hub.url, folder=folder, environ={}, patience=PATIENT, **named)


def test_all_files_of_a_set_are_fetched_and_then_found(hub: Hub, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    place = get(hub, tmp_path, on_progress=lambda done, total: steps.append((done, total)))

    assert place == tmp_path / "models" / "lab--ear"
    for path, content in FILES.items():
        assert (place / path.rpartition("/")[2]).read_bytes() == content
    assert find_set(SET, place) == place
    total = sum(map(len, FILES.values()))
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)


def test_what_is_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    get(hub, tmp_path)
    hub.asked.clear()

    get(hub, tmp_path)

    assert all(path.startswith("/api/") for path in hub.asked)


def test_what_only_some_repositories_have_comes_where_it_is(hub: Hub, tmp_path: Path) -> None:
    hub.contents["preprocessor_config.json"] = b"{}"
    hub.listing[""].append(entry("preprocessor_config.json", b"{}"))

    assert (get(hub, tmp_path) / "preprocessor_config.json").read_bytes() == b"{}"


def test_a_set_without_its_largest_file_is_not_there(hub: Hub, tmp_path: Path) -> None:
    place = get(hub, tmp_path)
    (place / "model.onnx").unlink()

    assert find_set(SET, place) is None


@pytest.mark.parametrize("path", ["config.json", "onnx/model.onnx"])
def test_other_content_than_the_hub_tells_is_refused(hub: Hub, tmp_path: Path, path: str) -> None:
    hub.contents[path] = bytes(len(FILES[path]))

    with pytest.raises(BadAnswerError, match="another checksum"):
        get(hub, tmp_path)

    assert find_set(SET, SET.folder(tmp_path)) is None


def test_a_checksum_that_is_known_here_counts_more_than_the_hubs(hub: Hub, tmp_path: Path) -> None:
    weights = replace(SET, sha256=(("onnx/model.onnx", "a" * 64),))

    with pytest.raises(BadAnswerError, match="another checksum"):
        get(hub, tmp_path, weights)


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>",
        b"{}",
        b"[" + b"1," * (3 << 20) + b"1]",
        [],
        [1, None, "config.json", {"type": "file"}],
        [{"type": "file", "path": ["config.json"], "size": 8, "oid": "0" * 40}],
        [{"type": "file", "path": "config.json", "size": "8", "oid": "0" * 40}],
        [{"type": "file", "path": "config.json", "size": True, "oid": "0" * 40}],
        [{"type": "file", "path": "config.json", "size": 1 << 60, "oid": "0" * 40}],
        [{"type": "file", "path": "config.json", "size": 8, "oid": "no checksum"}],
        [{"type": "file", "path": "config.json", "size": 8, "oid": "0" * 40, "lfs": {"oid": 1}}],
        None,
    ],
)
def test_a_strange_list_is_an_error_with_the_way_out(hub: Hub, tmp_path: Path, listing: Any) -> None:
    hub.listing[""] = listing

    with pytest.raises(
        (BadAnswerError, InvalidRequestError), match=r"To do it by hand, get .*model\.onnx of"
    ):
        get(hub, tmp_path)


def test_a_hub_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1 cannot be reached.*by hand"):
        fetch_set(SET, hub="http://127.0.0.1:9", folder=tmp_path, environ={"no_proxy": "*"}, patience=PATIENT)


def test_downloads_can_be_forbidden(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="HF_HUB_OFFLINE forbids"):
        fetch_set(SET, hub=hub.url, folder=tmp_path, environ={"HF_HUB_OFFLINE": "1"})

    assert hub.asked == []


def test_names_of_the_catalogue_are_those_of_its_entries() -> None:
    assert all(name == entry.info.id for name, entry in CATALOG.items())
    assert all(entry.weights.size > 1_000_000 for entry in CATALOG.values())


def test_any_voice_of_piper_can_be_named() -> None:
    found = catalog_entry("piper-nl_BE-nathalie-x_low")

    assert found is not None
    assert found.weights.files == (
        "nl/nl_BE/nathalie/x_low/nl_BE-nathalie-x_low.onnx.json",
        "nl/nl_BE/nathalie/x_low/nl_BE-nathalie-x_low.onnx",
    )
    assert found.info.languages == "nl-BE"


@pytest.mark.parametrize(
    "name", ["piper-", "piper-nathalie", "piper-../../x-y-z", "piper-en_US-a/b-low", "x"]
)
def test_what_is_no_voice_is_no_entry(name: str) -> None:
    assert catalog_entry(name) is None
