"""A hundred thousand events that are right, nearly right or nonsense: none of them does harm."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.conformance.client import Event
from tests.conformance.fuzzing.driver import KINDS, FaultError, play, shortest
from tests.conformance.fuzzing.run import fuzz
from tests.conformance.samples import faultless_session

EVENTS = 100_000


@pytest.mark.timeout(600)
async def test_no_event_does_harm(server_url: str) -> None:
    assert await fuzz(server_url, EVENTS, 1) >= EVENTS


Answer = Callable[[Event], list[Event]]


def refusal(event: Event, **members: str | None) -> Event:
    error = {"type": "invalid_request_error", "code": "invalid_value", "message": "No.", "param": None}
    return {"type": "error", "error": error | {"event_id": event["event_id"]} | members}


@asynccontextmanager
async def server_that(answers: Answer) -> AsyncIterator[str]:
    """A server that greets like a real one, and then answers each event like this."""

    async def converse(socket: ServerConnection) -> None:
        sent = 0
        await socket.send(json.dumps(faultless_session()[0]))
        async for frame in socket:
            for answer in answers(json.loads(frame)):
                sent += 1
                await socket.send(json.dumps(answer | {"event_id": f"answer_{sent}"}))

    async with serve(converse, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"


BAD = '{"type": "bad"}'
FAULTS: dict[str, Answer] = {
    "refused twice": lambda event: [refusal(event)] * (1 + (event["type"] == "bad")),
    "not the client's": lambda event: [
        refusal(event, **({"type": "server_error", "code": None} if event["type"] == "bad" else {}))
    ],
    "breaks the protocol": lambda event: [
        {"type": "session.lost"} if event["type"] == "bad" else refusal(event)
    ],
    "1 times session.update made 0 times session.updated": lambda event: (
        [] if event["type"] == "session.update" else [refusal(event)]
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_at_fault_is_found_out(fault: str) -> None:
    async with server_that(FAULTS[fault]) as url:
        with pytest.raises(FaultError, match=fault):
            await play(url, KINDS[0], [BAD, '{"type": "session.update", "session": {}}'])


async def test_a_fault_is_shown_with_the_fewest_frames_that_it_takes() -> None:
    async def fails(frames: list[int]) -> bool:
        return {7, 23} <= set(frames)

    assert await shortest(list(range(100)), fails) == [7, 23]


@pytest.mark.parametrize("event_id", [None, "mine"])
async def test_a_server_that_hangs_up_is_found_out(event_id: str | None) -> None:
    def hang_up(event: Event) -> list[Event]:
        raise RuntimeError

    async with server_that(hang_up) as url:
        with pytest.raises(FaultError, match="the connection was closed"):
            await play(url, KINDS[0], [json.dumps({"type": "fine", "event_id": event_id})])
