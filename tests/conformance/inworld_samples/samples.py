"""What the samples that Inworld publishes do with each event: a web page, two bridges to telephone networks.

They send by themselves what the page or the bridge would send, and keep what its user would see and hear.
"""

import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from websockets.asyncio.client import connect

from tests.conformance.client import FRAME_LIMIT, Event, SocketWire, Talk

__all__ = [
    "KEY",
    "CarrierBridge",
    "HangingUpBridge",
    "Page",
    "Sample",
    "conversation",
    "follow",
    "follow_until",
]

KEY = "aW53b3JsZDpzZWNyZXQ="  # in base64, as Inworld's console gives keys: "inworld:secret"

_GREETING = "[[say Good day, how can I help?]]"

# Instructions by which whatever somebody says is answered with words that are easy to hear.
ANSWER = "[[say One two three four five.]]"
ANSWER_WORDS = ["one", "two", "three", "four", "five"]


class Sample(Protocol):
    """A program that speaks the protocol."""

    def react(self, event: Event) -> list[Event]:
        """What it sends on that event."""


@dataclass(slots=True)
class Page:
    """The page of the sample for browsers: a transcript, and speech that stops when somebody speaks."""

    greeting: str = _GREETING
    instructions: str = ANSWER
    transcript: list[list[str]] = field(default_factory=list)  # who, and what they said, as it is shown
    overwritten: list[tuple[str, str]] = field(default_factory=list)  # what was shown, and what replaced it
    speech: bytes = b""  # scheduled to be played since the last interruption
    interruptions: int = 0
    ready: int = 0  # how often it took the session for new
    _interrupted: bool = False
    _turn: str | None = None

    def react(self, event: Event) -> list[Event]:
        """What it sends on that event; its texts and sounds change with it."""
        match event["type"]:
            case "session.created":
                heard = {
                    "type": "semantic_vad",
                    "eagerness": "high",
                    "create_response": True,
                    "interrupt_response": True,
                }
                return [
                    _update(
                        model="openai/gpt-4o-mini",
                        instructions=self.instructions,
                        audio={
                            "input": {"turn_detection": heard},
                            "output": {"model": "inworld-tts-1.5-mini", "voice": "Clive"},
                        },
                    )
                ]
            case "session.updated":
                self.ready += 1
                return _message(self.greeting)
            case "response.audio.delta" | "response.output_audio.delta":
                if not self._interrupted:
                    self.speech += _whole_samples(base64.b64decode(event["delta"]))
            case (
                "response.output_text.delta"
                | "response.text.delta"
                | "response.audio_transcript.delta"
                | "response.output_audio_transcript.delta"
            ):
                self._grow("agent", event["delta"])
            case "response.output_audio_transcript.done":
                self._overwrite("agent", event["transcript"])
            case "response.content_part.done":
                if text := event["part"].get("transcript"):
                    self._overwrite("agent", text)
            case "conversation.item.input_audio_transcription.delta":
                self._grow("user", event["delta"])
            case "conversation.item.input_audio_transcription.completed":
                if event["transcript"]:
                    self._overwrite("user", event["transcript"])
            case "input_audio_buffer.speech_started":
                self._interrupted, self.speech = True, b""
                self.interruptions += 1
                if self._turn == "agent":
                    self._turn = None
                return [{"type": "response.cancel"}]
            case "response.output_item.added":
                self._interrupted = False
            case "response.done":
                self._turn = None
        return []

    def _grow(self, who: str, text: str) -> None:
        if self._turn != who:
            self._turn = who
            self.transcript.append([who, ""])
        self.transcript[-1][1] += text

    def _overwrite(self, who: str, text: str) -> None:
        self._grow(who, "")
        self.overwritten.append((self.transcript[-1][1], text))
        self.transcript[-1][1] = text


@dataclass(slots=True)
class CarrierBridge:
    """The bridge to Twilio: mu-law from end to end, nothing converted, played by the carrier as it comes."""

    greeting: str = _GREETING
    instructions: str = ANSWER
    tools: list[Event] = field(default_factory=list)
    played: list[bytes] = field(default_factory=list)  # mu-law at 8 kHz, since the carrier was last cleared
    cleared: int = 0
    ended: dict[str, str] = field(default_factory=dict)  # what was said, by response
    _said: dict[str, str] = field(default_factory=dict)

    def react(self, event: Event) -> list[Event]:
        """What it sends on that event. An error is an exception, as it is there."""
        match event["type"]:
            case "session.created":
                heard = {
                    "type": "semantic_vad",
                    "eagerness": "medium",
                    "create_response": True,
                    "interrupt_response": True,
                }
                transcription = {"model": "inworld/inworld-stt-1"}
                audio = {
                    "input": {"format": "g711_ulaw", "transcription": transcription, "turn_detection": heard},
                    "output": {"format": "g711_ulaw", "model": "inworld-tts-2", "voice": "Sarah"},
                }
                return [
                    _update(
                        model="openai/gpt-4o-mini",
                        instructions=self.instructions,
                        text_generation_config={"reasoning": {"effort": "NONE"}},
                        tools=self.tools,
                        tool_choice="auto",
                        audio=audio,
                    )
                ]
            case "session.updated":
                return _message(self.greeting)
            case "response.output_audio.delta":
                self.played.append(base64.b64decode(event["delta"]))
            case "input_audio_buffer.speech_started":
                self.played.clear()
                self.cleared += 1
            case "response.output_audio_transcript.delta":
                id = event["response_id"]
                self._said[id] = self._said.get(id, "") + event["delta"]
            case "response.done":
                id = event["response"]["id"]
                self.ended[id] = self._said.pop(id, "")
            case "error":
                raise RuntimeError(event["error"]["message"])
        return []


@dataclass(slots=True)
class HangingUpBridge(CarrierBridge):
    """The bridge to Plivo: the same, and a function of its own by which the model ends the call."""

    reasons: list[str] = field(default_factory=list)

    def react(self, event: Event) -> list[Event]:
        """What it sends: the output of the function, and the wish for an answer to it, without any wait."""
        if event["type"] == "response.function_call_arguments.done" and event["name"] == "end_call":
            self.reasons.append(json.loads(event["arguments"])["reason"])
            output = {"type": "function_call_output", "call_id": event["call_id"], "output": '{"ok":true}'}
            return [{"type": "conversation.item.create", "item": output}, {"type": "response.create"}]
        speaking = bool(self.played)
        answers = CarrierBridge.react(self, event)
        if event["type"] == "input_audio_buffer.speech_started" and speaking:
            return [{"type": "response.cancel"}]  # of a response that is over by then
        return answers


class _Wire(SocketWire):
    """Passes over pings, as the samples do: they come by the clock, between any two events."""

    async def receive(self) -> str | bytes:
        while json.loads(data := await super().receive())["type"] == "ping":
            pass
        return data


@asynccontextmanager
async def conversation(server_url: str, scheme: Literal["Basic", "Bearer"] = "Basic") -> AsyncIterator[Talk]:
    """A connection as the samples open it; nothing is received yet."""
    query = "key=voice-1732200000&protocol=realtime"
    url = f"{server_url.replace('http', 'ws', 1)}/api/v1/realtime/session?{query}"
    headers = {"Authorization": f"{scheme} {KEY}"}
    async with connect(url, additional_headers=headers, max_size=FRAME_LIMIT, proxy=None) as socket:
        talk = Talk(_Wire(socket))
        yield talk
        await talk.settle()
        while talk.oracle.sequence.finished():
            await talk.receive()


async def follow(talk: Talk, sample: Sample, responses: int) -> None:
    """Let the sample react to everything until so many more responses have ended."""
    while responses:
        responses -= (await _step(talk, sample))["type"] == "response.done"


async def follow_until(talk: Talk, sample: Sample, there: Callable[[], bool]) -> None:
    """Let the sample react to everything until that is so."""
    while not there():
        await _step(talk, sample)


async def _step(talk: Talk, sample: Sample) -> Event:
    event = await talk.receive()
    for answer in sample.react(event):
        await talk.send(**answer)
    return event


def _update(**session: Any) -> Event:
    common = {"type": "realtime", "output_modalities": ["audio", "text"]}
    return {"type": "session.update", "session": common | session}


def _message(text: str) -> list[Event]:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    return [{"type": "conversation.item.create", "item": item}, {"type": "response.create"}]


def _whole_samples(pcm: bytes) -> bytes:
    # The page throws on half a sample: it reads the delta as an array of 16-bit integers.
    assert len(pcm) % 2 == 0
    return pcm
