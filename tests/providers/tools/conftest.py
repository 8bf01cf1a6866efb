"""Fixtures for the tests of tools: one MCP server for each file of tests, in a process of its own."""

from collections.abc import Iterator

import pytest

from providers.tools.toolbox import ConfiguredToolbox
from tests.fakes.mcp_process import McpProcess, start_mcp_server


@pytest.fixture(scope="module")
def mcp() -> Iterator[McpProcess]:
    with start_mcp_server() as server:
        yield server


@pytest.fixture
def toolbox(mcp: McpProcess) -> ConfiguredToolbox:
    """One that may reach that server, with the usual limits."""
    return ConfiguredToolbox(allowed_hosts=[mcp.host])
