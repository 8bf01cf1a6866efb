"""Starts the MCP server of the tests in a process of its own, and ends it.

with start_mcp_server() as mcp:
    mcp.url  # "http://127.0.0.1:43210/mcp"; mcp.at("/paged") is another path of it
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["AUTHORIZATION", "McpProcess", "start_mcp_server"]

AUTHORIZATION = "Bearer letmein"  # what the tool `secret` and the path /locked want to see
_ROOT = Path(__file__).parents[2]
_PATIENCE = 30  # seconds for a process to end


class McpProcess:
    """A server that listens on a loopback port until it is killed or closed."""

    def __init__(self) -> None:
        self._process = self._start(0)
        self.port = self._read_port()

    @property
    def url(self) -> str:
        """Where the usual tools are."""
        return self.at("/mcp")

    @property
    def host(self) -> str:
        """For the allow-list: "127.0.0.1:43210"."""
        return f"127.0.0.1:{self.port}"

    def at(self, path: str) -> str:
        return f"http://{self.host}{path}"

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._wait()

    def wait(self) -> None:
        """Until it has ended by itself."""
        self._wait()

    def restart(self) -> None:
        """Start it anew at the same port, once it has ended."""
        self.close()
        self._process = self._start(self.port)
        self._read_port()

    def close(self) -> None:
        """As `kill`: it would wait for clients to go, and has nothing to lose."""
        self.kill()

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.fakes.mcp_server", str(port)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,  # it ends with its standard input, so it never outlives the tests
            stdout=subprocess.PIPE,
        )

    def _read_port(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # connections wait in the socket's backlog from here on
        if not line:
            raise RuntimeError(f"the MCP server did not start: it ended with {self._process.wait(_PATIENCE)}")
        return int(line)

    def _wait(self) -> None:
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def start_mcp_server() -> Iterator[McpProcess]:
    """A running server, which ends with the block. It takes about two seconds to start."""
    server = McpProcess()
    try:
        yield server
    finally:
        server.close()
