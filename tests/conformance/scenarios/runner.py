"""Plays scenarios, and keeps what was sent and received."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.beta_client import beta_talk
from tests.conformance.client import ECHO, PATIENCE, Event, SocketWire, Talk, talk
from tests.conformance.oracle import Oracle
from tests.conformance.scenarios.registry import Case, Refusal, cases
from tests.conformance.scenarios.stages import SHARED, STAGES

__all__ = ["Record", "Stagehand", "perform"]


@dataclass(frozen=True, slots=True)
class Record:
    """What went over one connection, event by event."""

    sent: list[Event]
    received: list[Event]


async def perform(case: Case, server_url: str) -> Record:
    """Play the scenario; raises AssertionError where it does not go as it has to."""
    scenario = case.scenario
    query = {"profile": case.variant.profile} | dict(scenario.query)
    if scenario.closed:
        return await _to_the_end(case, server_url, query)
    transcribes = query.get("intent") == "transcription"
    if case.variant.dialect == "beta":  # whose SDK insists on a model
        connection: Any = beta_talk(server_url, "whisper-1" if transcribes else ECHO, query=query)
    else:
        connection = talk(server_url, None if transcribes else ECHO, query=query)
    async with connection as session:
        await scenario.play(session)
        for row in scenario.refusals:
            if case.variant in row.variants:
                await _refused(session, row)
    return Record(session.sent, session.events)


async def _refused(session: Talk, row: Refusal) -> None:
    before, items = session.session, list(session.oracle.sequence.order)
    id = await session.send(**row.event)
    answers = await session.settle()
    assert [answer["type"] for answer in answers] == ["error"], (row.what, answers)
    error = answers[0]["error"]
    assert (error["code"], error["param"], error["event_id"]) == (row.code, row.param, id), (row.what, error)
    assert error["type"] == "invalid_request_error", row.what
    assert (await session.update(), session.oracle.sequence.order) == (before, items), row.what


async def _to_the_end(case: Case, server_url: str, query: dict[str, str]) -> Record:
    """A connection that the server closes, without an SDK in between."""
    names = "&".join(f"{name}={value}" for name, value in query.items() if value)
    headers = {"OpenAI-Beta": "realtime=v1"} if case.variant.dialect == "beta" else {}
    url = f"{server_url.replace('http', 'ws', 1)}/v1/realtime?{names}"
    async with connect(url, proxy=None, max_size=None, additional_headers=headers) as socket:
        session = Talk(SocketWire(socket), Oracle())
        await case.scenario.play(session)
        assert await _ending(socket) == case.scenario.closed
    return Record(session.sent, session.events)


async def _ending(socket: ClientConnection) -> tuple[int | None, str | None]:
    try:
        async with asyncio.timeout(PATIENCE):
            late = await socket.recv()
    except ConnectionClosed:
        return socket.close_code, socket.close_reason
    raise AssertionError(f"not closed, but {late!r}")


@dataclass(slots=True)
class Stagehand:
    """Plays each case once, however many tests want to know what came of it."""

    server_url: str  # of the plain stage, which most are played on
    _records: dict[str, Record | BaseException] = field(default_factory=dict)

    async def record(self, case: Case) -> Record:
        """What was sent and received; raises what the scenario raised."""
        if case.name not in self._records:
            await self._play(case)
        outcome = self._records[case.name]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _play(self, case: Case) -> None:
        stage = case.scenario.stage
        if stage == "plain":
            await self._perform(case, self.server_url)
            return
        # A server takes longer to start than these scenarios to play.
        others = [other for other in cases() if other.scenario.stage == stage] if stage in SHARED else [case]
        async with STAGES[stage]() as url:
            for other in others:
                await self._perform(other, url)

    async def _perform(self, case: Case, url: str) -> None:
        try:
            self._records[case.name] = await perform(case, url)
        except Exception as failure:  # noqa: BLE001 - whatever it is, every test that asks is told
            self._records[case.name] = failure
