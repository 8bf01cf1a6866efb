"""Starts what is measured and what stands for the world around it, and reads what the first one costs."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

__all__ = ["Cost", "Server", "started_fakes", "started_server"]

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_SECONDS = 60.0
_get = build_opener(ProxyHandler({})).open  # never through a proxy: everything is on this machine


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has used so far."""

    cpu_seconds: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime?model=gpt-realtime"

    def cost(self) -> Cost:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return Cost((int(fields[11]) + int(fields[12])) / _TICKS, int(resident.split()[1]) / 1024)


@contextmanager
def started_fakes() -> Iterator[int]:
    """The timed providers in a process of their own; yields their port."""
    with _started([sys.executable, "-m", "benchmarks.fakes"], stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextmanager
def started_server(settings: str, folder: Path, core: int | None = None) -> Iterator[Server]:
    """`parley serve` with the TOML text `settings`, ready for callers; on one core if `core` is given."""
    config, log = folder / "parley.toml", folder / "server.log"
    config.write_text(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-P", "-c", "from server.cli import main; main()", "serve"]
    command += ["--config", str(config), "--port", str(port), "--log-level", "warning"]
    mine = os.sched_getaffinity(0)
    with log.open("wb") as output:
        if core is not None:
            os.sched_setaffinity(0, {core})  # inherited, so that no thread of the server ever runs elsewhere
        try:
            starting = _started(command, stdout=output, stderr=output)
            process = starting.__enter__()
        finally:
            os.sched_setaffinity(0, mine)
        try:
            _wait_until_ready(process, port, log)
            yield Server(port, process.pid)
        finally:
            starting.__exit__(None, None, None)


@contextmanager
def _started(
    command: list[str],
    stdin: int | None = None,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: IO[bytes] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _wait_until_ready(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}:\n{log.read_text()}")
        try:
            with _get(f"http://127.0.0.1:{port}/ready", timeout=2):
                return
        except (HTTPError, URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server was not ready within {_READY_SECONDS:.0f} s:\n{log.read_text()}")
