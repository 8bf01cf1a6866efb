"""Lists of tools that no honest server sends."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from providers.tools.contracts import RemoteTool, ToolFailedError
from providers.tools.limits import ToolLimits
from providers.tools.listing import collect

SCHEMA = {"type": "object"}


async def listed(*pages: list[Any], limits: ToolLimits | None = None) -> tuple[RemoteTool, ...]:
    async def turn() -> AsyncIterator[list[Mapping[str, Any]]]:
        for page in pages:
            yield page

    return await collect(turn(), limits or ToolLimits())


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"properties": schema}
    return schema


async def test_tools_without_a_usable_name_or_schema_are_left_out() -> None:
    tools = await listed(
        [
            {"name": "", "inputSchema": SCHEMA},
            {"name": "x" * 129, "inputSchema": SCHEMA},
            {"name": "line\nbreak", "inputSchema": SCHEMA},
            {"name": 7, "inputSchema": SCHEMA},
            {"inputSchema": SCHEMA},
            {"name": "no_schema"},
            {"name": "deep", "inputSchema": nested(1000)},
            {"name": "good", "inputSchema": SCHEMA, "description": "Does good."},
        ],
        [{"name": "good", "inputSchema": SCHEMA, "description": "Does evil."}],
    )

    assert tools == (RemoteTool("good", "Does good.", SCHEMA, None),)


async def test_read_only_is_what_the_server_says_of_itself() -> None:
    hints = [None, {}, {"readOnlyHint": False}, {"readOnlyHint": True}, {"readOnlyHint": "yes"}]
    tools = await listed(
        [
            {"name": f"t{place}", "inputSchema": SCHEMA, "annotations": hint}
            for place, hint in enumerate(hints)
        ]
    )

    assert [tool.read_only for tool in tools] == [False, False, False, True, False]


async def test_the_limits_are_sharp() -> None:
    page: list[dict[str, Any]] = [{"name": f"tool_{place}", "inputSchema": SCHEMA} for place in range(10)]
    size = sum(len(tool["name"]) + len(b'[{"type":"object"},null]') for tool in page)

    assert len(await listed(page, limits=ToolLimits(max_tools=10, max_schema_bytes=size))) == 10
    with pytest.raises(ToolFailedError, match=r"more than 9 tools \(tools\.max_tools\)"):
        await listed(page, limits=ToolLimits(max_tools=9))
    with pytest.raises(ToolFailedError, match=rf"more than {size - 1} bytes \(tools\.max_schema_bytes\)"):
        await listed(page, limits=ToolLimits(max_schema_bytes=size - 1))


async def test_descriptions_count() -> None:
    with pytest.raises(ToolFailedError, match=r"tools\.max_schema_bytes"):
        await listed(
            [{"name": "t", "inputSchema": SCHEMA, "description": "é" * 600}],
            limits=ToolLimits(max_schema_bytes=1200),
        )
