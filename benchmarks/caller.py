"""One simulated caller: speaks at the pace of a microphone, listens to each reply, and measures.

It is written to cost little, because it shares its event loop with all other callers: messages are made
before, nothing is decoded that is not needed, and it reports how late its own sends were.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.speech import CHUNK_MS, SILENCE, Utterance

__all__ = ["CallerPlan", "CallerResult", "Moments", "call"]

_TICK = CHUNK_MS / 1000
_REPLY_SECONDS = 15.0  # how long a reply may take before the turn counts as lost
_PCM_BYTES_PER_MS = 48
_now = time.perf_counter


@dataclass(frozen=True, slots=True)
class CallerPlan:
    """What one caller does."""

    url: str
    silence_ms: int  # the session's `silence_duration_ms`
    utterances: Sequence[Utterance]  # one per turn
    starts_at: float  # on the clock of `time.perf_counter`
    gap_ms: float = 700.0  # between the end of a reply's playback and the next words


@dataclass(slots=True)
class Moments:
    """One turn, in seconds on the clock of `time.perf_counter`; None for what did not happen."""

    utterance: str
    voice_ended: float | None = None  # when the message with the last voiced sample had been sent
    stopped: float | None = None
    transcribed: float | None = None
    created: float | None = None
    first_text: float | None = None
    first_audio: float | None = None
    done: float | None = None
    audio_ms: float = 0.0
    problem: str = ""


@dataclass(slots=True)
class CallerResult:
    turns: list[Moments] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)  # of every send: how much later than planned
    seconds: float = 0.0  # from the greeting to the end
    problem: str = ""  # what ended the call early


async def call(plan: CallerPlan, result: CallerResult) -> None:
    """Hold one conversation; never raises, what goes wrong is in `result`."""
    await asyncio.sleep(max(0.0, plan.starts_at - _now()))
    try:
        async with connect(plan.url, compression=None, max_size=None, proxy=None, open_timeout=20) as socket:
            await _prepare(socket, plan)
            caller, began = _Caller(socket, plan, result), _now()
            hearing = asyncio.create_task(caller.hear())
            try:
                await caller.speak()
            finally:
                result.seconds = _now() - began
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
    except (OSError, WebSocketException, TimeoutError, _RefusedError) as error:
        result.problem = f"{type(error).__name__}: {error}"


class _RefusedError(Exception):
    pass


async def _prepare(socket: ClientConnection, plan: CallerPlan) -> None:
    detection = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": plan.silence_ms}
    session = {"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
    await socket.send(orjson.dumps({"type": "session.update", "session": session}).decode())
    async with asyncio.timeout(20):
        while True:
            event = orjson.loads(await socket.recv())
            if event["type"] == "session.updated":
                return
            if event["type"] == "error":
                raise _RefusedError(str(event["error"]))


class _Caller:
    def __init__(self, socket: ClientConnection, plan: CallerPlan, result: CallerResult) -> None:
        self._socket = socket
        self._plan = plan
        self._result = result
        self._turn: Moments | None = None

    async def speak(self) -> None:
        """Every 20 ms a message: words while it is the caller's turn, else silence."""
        words = list(self._plan.utterances)
        utterance: Utterance | None = None
        position, speak_from = 0, _now() + 0.3  # some silence first, as from a real microphone
        tick = _now()
        while True:
            tick += _TICK
            if (wait := tick - _now()) > 0:
                await asyncio.sleep(wait)
            if utterance is None and tick >= speak_from:
                utterance, position = words.pop(0), 0
                self._turn = Moments(utterance.name)
                self._result.turns.append(self._turn)
            speaking = utterance is not None and position < len(utterance.messages)
            await self._socket.send(utterance.messages[position] if utterance and speaking else SILENCE)
            sent = _now()
            self._result.late_ms.append((sent - tick) * 1000)
            if utterance is None or self._turn is None:
                continue
            if position == utterance.last_voiced:
                self._turn.voice_ended = sent
            position += 1
            if not speaking and (free := self._free_at(self._turn, sent)) is not None:
                if not words:
                    return
                utterance, speak_from = None, free + self._plan.gap_ms / 1000

    def _free_at(self, turn: Moments, now: float) -> float | None:
        """When the reply has been played to its end; None as long as there is none."""
        if turn.done is not None:
            return (turn.first_audio or turn.done) + turn.audio_ms / 1000
        if turn.voice_ended is not None and now - turn.voice_ended > _REPLY_SECONDS:
            turn.problem = turn.problem or "no reply"
            return now
        return None

    async def hear(self) -> None:
        while True:
            frame = await self._socket.recv()
            at = _now()
            if (turn := self._turn) is not None:
                _note(turn, at, orjson.loads(frame))


def _note(turn: Moments, at: float, event: dict[str, Any]) -> None:
    match event["type"]:
        case "response.output_audio.delta":
            turn.first_audio = turn.first_audio or at
            turn.audio_ms += len(event["delta"]) * 3 / 4 / _PCM_BYTES_PER_MS
        case "response.output_audio_transcript.delta":
            turn.first_text = turn.first_text or at
        case "input_audio_buffer.speech_started":
            if turn.stopped is not None:
                turn.problem = "the utterance was split in two turns"
        case "input_audio_buffer.speech_stopped":
            turn.stopped = at
        case "conversation.item.input_audio_transcription.completed":
            turn.transcribed = at
        case "conversation.item.input_audio_transcription.failed":
            turn.problem = f"transcription failed: {event['error'].get('message')}"
        case "response.created":
            turn.created = at
        case "response.done":
            turn.done = at
            if event["response"]["status"] != "completed":
                turn.problem = turn.problem or f"response {event['response']['status']}"
        case "error":
            turn.problem = str(event["error"].get("message"))
