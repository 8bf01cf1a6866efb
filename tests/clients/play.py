"""Plays a client's program against a server, and judges what the client and the wire say about it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import INSTALL_PATIENCE, inherited_variables
from tests.clients.tap import Connection, tap
from tests.conformance.client import RATE
from tests.conformance.hearing import VOICE_WORDS, seconds, voice, words
from tests.speech import silence

__all__ = ["FOREIGN_CLIENT", "PlayProgram", "Played", "play"]

PATIENCE = 100  # seconds for a program; it gives up on each of its scenarios after 20

# The marks of a file of tests that installs a client and plays its program.
FOREIGN_CLIENT = [pytest.mark.clients, pytest.mark.timeout(2 * INSTALL_PATIENCE + PATIENCE)]

# What the fixture `play_program` is: given the name of a program and its requirements, it plays it.
PlayProgram = Callable[[str, Sequence[str]], "Played"]

_PROGRAMS = Path(__file__).parent / "programs"
_SCENARIOS = ("written", "spoken", "called", "interrupted")


@dataclass(frozen=True, slots=True, repr=False)
class Played:
    """What a program reported, and what went over the wire, by scenario."""

    reports: dict[str, Any]
    connections: dict[str, list[Connection]]
    stderr: str

    def scenario(self, name: str, *, ignores: Sequence[str] = ()) -> tuple[Any, Connection]:
        """The report on a scenario and its connection, once the client is happy and the server broke no rule.

        `ignores` are codes of errors that the client brings about and does not mind.
        """
        report, (connection,) = self.conversations(name, ignores=ignores)
        return report, connection

    def conversations(self, name: str, *, ignores: Sequence[str] = ()) -> tuple[Any, list[Connection]]:
        """The same of a scenario that connects more than once."""
        report, connections = self.reports[name], self.connections[name]
        if failure := report.get("failure"):
            received = [[event["type"] for event in connection.received] for connection in connections]
            pytest.fail(f"{failure}\nreceived: {received}\n{self.stderr}", pytrace=False)
        for connection in connections:
            assert connection.faults == []
            assert [error for error in connection.errors if error["code"] not in ignores] == []
        return report, connections

    def check_written(self) -> Connection:
        """A typed message got its written answer."""
        report, connection = self.scenario("written")
        assert report == {"answer": "You said: Good morning"}
        assert [response["status"] for response in connection.responses] == ["completed"]
        return connection

    def check_spoken(self) -> Connection:
        """Somebody was heard and got a spoken answer, whose every byte reached the program."""
        report, connection = self.scenario("spoken")
        assert words(report["heard"]) == VOICE_WORDS
        assert words(report["answer"]) == ["you", "said", *VOICE_WORDS]
        assert 1 < seconds(bytes(report["audio_bytes"]), RATE) < 10
        assert {response["status"] for response in connection.responses} == {"completed"}
        return connection

    def check_called(self, *, result: str = "Light rain in Oslo") -> Connection:
        """The model called a function of the client and used its result, as the client writes it."""
        report, connection = self.scenario("called")
        assert report == {"asked": ["Oslo"], "answer": f"Tool weather returned: {result}"}
        assert [response["status"] for response in connection.responses] == ["completed", "completed"]
        return connection

    def check_interrupted(self, *, ignores: Sequence[str] = ()) -> Connection:
        """Somebody spoke into a long answer, which ended, was cut to what was heard, and gave way."""
        report, connection = self.scenario("interrupted", ignores=ignores)
        assert words(report["heard"]) == VOICE_WORDS
        assert words(report["answer"]) == ["you", "said", *VOICE_WORDS]
        story, answer = connection.responses
        assert story["status"] == "cancelled"
        assert story["status_details"]["reason"] == "turn_detected"
        assert answer["status"] == "completed"
        (truncated,) = [e for e in connection.received if e["type"] == "conversation.item.truncated"]
        assert truncated["item_id"] == story["output"][0]["id"]
        return connection


def play(
    python: Path, program: str, server_url: str, folder: Path, scenarios: Sequence[str] = _SCENARIOS
) -> Played:
    """Run these scenarios of a program, each over a tap of its own. `folder` is for files on the way."""
    return asyncio.run(_play(python, _PROGRAMS / program, server_url, folder, scenarios))


async def _play(
    python: Path, program: Path, server_url: str, folder: Path, scenarios: Sequence[str]
) -> Played:
    speech, told = folder / "speech.pcm", folder / "stderr.txt"
    speech.write_bytes(voice() + silence(1_500, RATE))
    async with AsyncExitStack() as stack:
        taps = {name: await stack.enter_async_context(tap(server_url)) for name in scenarios}
        process = await asyncio.create_subprocess_exec(
            python,
            program,
            speech,
            *[f"{name}={url}" for name, (url, _) in taps.items()],
            env=inherited_variables(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stack.enter_context(told.open("wb")),
        )
        try:
            stdout, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
    stderr = told.read_text(errors="replace")
    if process.returncode:
        pytest.fail(f"{program.name} ended with {process.returncode}:\n{stderr}", pytrace=False)
    reports = json.loads(stdout.splitlines()[-1])
    return Played(reports, {name: connections for name, (_, connections) in taps.items()}, stderr)
