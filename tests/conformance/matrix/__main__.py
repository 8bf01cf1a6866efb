"""Plays every scenario and writes docs/conformance.md: `uv run python -m tests.conformance.matrix`."""

import asyncio
import sys
import tempfile
from pathlib import Path

from server.background import running_server
from tests.conformance.matrix.coverage import Coverage, cover
from tests.conformance.matrix.page import conformance_page
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.scenarios.runner import Stagehand
from tests.conformance.scenarios.stages import plain_settings
from tests.dockerfile import ROOT

PAGE = ROOT / "docs" / "conformance.md"


async def play(server_url: str) -> Coverage:
    """The coverage of all scenarios; raises what the first that fails raises."""
    stagehand = Stagehand(server_url)
    return cover([(case, await stagehand.record(case)) for case in SCENARIOS])


def main() -> int:
    """Writes the page; the exit status says whether everything published is shown or explained."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(plain_settings(Path(folder)), environ={}) as url,
    ):
        coverage = asyncio.run(play(url))
    PAGE.write_text(conformance_page(SCENARIOS, coverage), encoding="utf-8")
    problems = [f"neither shown nor explained: {place}" for place in coverage.gaps()]
    problems += [f"explained, but shown: {place}" for _, place in coverage.stale()]
    print("\n".join([*problems, f"{PAGE.relative_to(ROOT)} is written"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
