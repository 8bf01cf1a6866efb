"""TLS in the server: a real turn over wss, and every way in which the files can be wrong."""

import asyncio
import base64
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from openai import AsyncOpenAI

from server.background import running_server
from server.checks import Check, examine
from server.settings import ServerSettings, Settings, SettingsError, load_settings
from server.startup import StartupError
from server.tls import server_context
from tests.certificates import Certificates, make_certificates
from tests.conformance.hearing import voice, words
from tests.dockerfile import ROOT, stages
from tests.server.test_cli import environment, first_event, read_until, run, serving
from tests.speech import silence


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def url(certificates: Certificates) -> Iterator[str]:
    """A server that speaks TLS."""
    with running_server(Settings(server=certificates.server), environ={}) as url:
        yield url


@pytest.fixture
def trusting(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of this process accept the certificate, by the variable that our pages name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))


@pytest.mark.usefixtures("trusting")
async def test_a_spoken_turn_over_wss(url: str) -> None:
    assert url.startswith("https://127.0.0.1:")
    said, audio = "", b""
    async with (
        AsyncOpenAI(api_key="none", base_url=f"{url}/v1") as client,
        client.realtime.connect(model="gpt-realtime") as session,
    ):
        pcm = voice(1_300) + silence(4_000, 24_000)  # its first sentence
        for start in range(0, len(pcm), 9_600):
            await session.input_audio_buffer.append(
                audio=base64.b64encode(pcm[start : start + 9_600]).decode()
            )
        async for event in session:
            if event.type == "response.output_audio_transcript.done":
                said = event.transcript
            elif event.type == "response.output_audio.delta":
                audio += base64.b64decode(event.delta)
            elif event.type == "response.done":
                break

    assert words(said) == ["you", "said", "ever", "tried"]
    assert len(audio) > 24_000


@pytest.mark.usefixtures("trusting")
async def test_the_rest_of_the_api_is_there_too(url: str) -> None:
    async with AsyncOpenAI(api_key="none", base_url=f"{url}/v1") as client:
        models = [model.id async for model in client.models.list()]

    assert "builtin/echo" in models


@pytest.mark.usefixtures("trusting")
async def test_a_client_that_speaks_plain_http_disturbs_nobody(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = int(url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert not plain.recv(1024).startswith(b"HTTP/1.1 200")

    assert await first_event(url) == "session.created"
    assert caplog.records == []


def test_old_versions_of_tls_are_refused(certificates: Certificates) -> None:
    context = server_context(certificates.server)

    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_without_files_the_server_speaks_plain_http() -> None:
    assert server_context(ServerSettings()) is None


@pytest.mark.parametrize("given", ["tls_cert", "tls_key"])
def test_one_file_without_the_other_is_a_mistake_in_the_settings(
    certificates: Certificates, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(f"PARLEY_SERVER__{given.upper()}", str(certificates.cert))

    with pytest.raises(SettingsError, match="for TLS both tls_cert and tls_key are needed"):
        load_settings()


def test_a_file_that_is_not_there_is_named(certificates: Certificates, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"

    with pytest.raises(StartupError, match=r"server\.tls_cert: .*gone\.pem cannot be read: No such file"):
        server_context(ServerSettings(tls_cert=gone, tls_key=certificates.key))
    with pytest.raises(StartupError, match=r"server\.tls_key: .*gone\.pem cannot be read: No such file"):
        server_context(ServerSettings(tls_cert=certificates.cert, tls_key=gone))


def test_the_key_of_another_certificate_is_refused(certificates: Certificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)

    with pytest.raises(StartupError, match="is not the key of the certificate"):
        server_context(ServerSettings(tls_cert=certificates.cert, tls_key=other.key))


def test_files_in_the_wrong_place_are_refused(certificates: Certificates) -> None:
    with pytest.raises(StartupError, match="Both are PEM files"):
        server_context(ServerSettings(tls_cert=certificates.key, tls_key=certificates.cert))


def test_a_key_with_a_passphrase_is_refused_instead_of_asked_for(
    certificates: Certificates, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.pem"
    key = load_pem_private_key(certificates.key.read_bytes(), password=None)
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )

    with pytest.raises(StartupError, match="without a passphrase"):
        server_context(ServerSettings(tls_cert=certificates.cert, tls_key=locked))


def test_a_server_with_files_that_cannot_be_used_does_not_start(certificates: Certificates) -> None:
    wrong = ServerSettings(tls_cert=certificates.cert, tls_key=certificates.cert)

    with pytest.raises(StartupError, match="PEM"), running_server(Settings(server=wrong), environ={}):
        pass


@pytest.mark.usefixtures("trusting")
def test_the_command_line_takes_both_files_and_prints_an_https_address(
    certificates: Certificates, tmp_path: Path
) -> None:
    options = ["--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key)]
    with serving(tmp_path, options) as process:
        _, url = read_until(process, r"Ready in .*: (https://\S+)")

        assert asyncio.run(first_event(url)) == "session.created"


def test_the_command_line_says_what_is_wrong_with_them(certificates: Certificates, tmp_path: Path) -> None:
    one = run("serve", "--port", "0", "--tls-cert", str(certificates.cert), cwd=tmp_path)
    no_pair = ["--tls-cert", str(certificates.cert), "--tls-key", str(certificates.cert)]
    two = run("serve", "--port", "0", *no_pair, cwd=tmp_path)

    assert one.returncode == two.returncode == 1
    assert "server.tls_key: for TLS both" in one.stderr
    assert "Both are PEM files" in two.stderr
    assert "Traceback" not in one.stderr + two.stderr


def test_parley_talk_speaks_to_it(url: str, certificates: Certificates, tmp_path: Path) -> None:
    words = ["talk", "--text", "Good morning", "--url", url]
    trusted = run(*words, cwd=tmp_path, SSL_CERT_FILE=str(certificates.authority))
    stranger = run(*words, cwd=tmp_path)

    assert trusted.returncode == 0, trusted.stderr
    assert "You said: Good morning" in trusted.stdout
    assert stranger.returncode == 1
    assert "is not accepted" in stranger.stderr
    assert "SSL_CERT_FILE" in stranger.stderr


def test_parley_talk_starts_a_server_of_its_own_without_the_certificate(tmp_path: Path) -> None:
    elsewhere = make_certificates(tmp_path, "voice.example.com")
    (tmp_path / "parley.toml").write_text(
        f"[server]\ntls_cert = '{elsewhere.cert}'\ntls_key = '{elsewhere.key}'\n"
    )

    told = run("talk", "--text", "Good morning", cwd=tmp_path)

    assert told.returncode == 0, told.stderr


def findings(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """What `parley doctor` finds for a file with these lines under [server]."""
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    file = folder / "parley.toml"
    file.write_text(f"[server]\n{server}\n")
    return {check.name: check for check in asyncio.run(examine(file, {}))}


def test_parley_doctor_tries_the_files(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = f"port = 0\ntls_cert = '{certificates.cert}'\ntls_key = '{certificates.key}'"
    wrong = right.replace("key.pem", "gone.pem")

    good = findings(right, tmp_path, monkeypatch)
    bad = findings(wrong, tmp_path, monkeypatch)

    assert good["tls"].status == "ok"
    assert good["port"].detail.startswith("https://")
    assert bad["tls"].status == "fail"
    assert "gone.pem cannot be read" in bad["tls"].detail


def test_parley_doctor_knows_a_server_of_ours_on_the_port(
    url: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = url.rpartition(":")[2]
    ours = f"port = {port}\ntls_cert = '{certificates.cert}'\ntls_key = '{certificates.key}'"

    assert findings(ours, tmp_path, monkeypatch)["port"].status == "warn"


@pytest.mark.parametrize("port", ["served", "closed"])
def test_the_health_check_of_the_image_speaks_tls_too(
    url: str, certificates: Certificates, port: str
) -> None:
    _, final = stages((ROOT / "docker" / "Dockerfile").read_text())
    _, _, command = final.last("HEALTHCHECK").value.partition("CMD ")
    variables = {
        "PARLEY_SERVER__PORT": url.rpartition(":")[2] if port == "served" else "9",
        "PARLEY_SERVER__TLS_CERT": str(certificates.cert),
    }

    done = subprocess.run(
        [sys.executable, *json.loads(command)[1:]],
        env=variables,
        capture_output=True,
        check=False,
        timeout=30,
    )

    assert (done.returncode == 0) == (port == "served")
