"""A client as Inworld's guide has it: its address, its key, and pings between the events that are judged."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect

from tests.conformance.client import SocketWire, Talk

__all__ = ["EDITIONS", "TRANSCRIPTION", "inworld", "named"]

TRANSCRIPTION = "conversation.item.input_audio_transcription"

# How the older and the newer edition of the guide call the member that names a language model or a router.
EDITIONS = ("model", "modelId")

_KEY = "aWQ6c2VjcmV0"  # "id:secret", as the console gives it; the servers of these tests want none


def named(edition: str, model: str) -> dict[str, Any]:
    """The choice of a model in the words of one edition."""
    return {edition: model}


class _Pinged(SocketWire):
    """Reads pings without passing them on: they come by the clock, between any two events."""

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__(socket)
        self.pings = 0

    async def receive(self) -> str | bytes:
        while True:
            data = await super().receive()
            event = json.loads(data)
            if event["type"] != "ping":
                return data
            assert set(event) == {"type", "event_id", "timestamp"}
            self.pings += 1


@asynccontextmanager
async def inworld(server_url: str, *hasty: dict[str, Any], **query: str) -> AsyncIterator[Talk]:
    """A connection whose first event was session.created; nothing is open once it is left.

    `hasty` are events to send before anything is received.
    """
    whole = {"key": "guide-1", "protocol": "realtime"} | query
    url = f"{server_url.replace('http', 'ws', 1)}/api/v1/realtime/session?{urlencode(whole)}"
    headers = {"Authorization": f"Basic {_KEY}"}
    # The limit for a frame is that of the library's default, as the package pipecat leaves it.
    async with connect(url, additional_headers=headers, proxy=None) as socket:
        talk = Talk(_Pinged(socket))
        for event in hasty:
            await talk.send(**event)
        assert (await talk.receive())["type"] == "session.created"
        yield talk
        await talk.settle()
        while talk.oracle.sequence.finished():
            await talk.receive()
