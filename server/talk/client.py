"""Holds one conversation with a Realtime server: speaks at the pace of a microphone, hears the reply."""

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from server.talk.address import is_loopback
from server.talk.playback import Playback
from server.talk.recording import RATE, Recording
from server.talk.turnlog import Row, TurnLog

__all__ = ["Conversation", "TalkError", "TalkRequest"]

_CHUNK_MS = 20
_CHUNK_BYTES = RATE * _CHUNK_MS // 1000 * 2
_OPEN_SECONDS = 10.0  # to connect and be greeted
_STALL_SECONDS = 30.0  # without any event while a reply is due
_PATIENCE_MS = 2000.0  # beyond the silence in which a server ends a turn
_KEY_HINT = "; give a key with --api-key or PARLEY_API_KEY"
_PCM = {"type": "audio/pcm", "rate": RATE}

Watcher = Callable[[float, Mapping[str, Any], list[Row]], None]


class TalkError(Exception):
    """The conversation could not be held; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class TalkRequest:
    """What to say, and to whom. At least one of `recording` and `text` is given."""

    url: str  # the complete WebSocket address
    api_key: str | None = None
    voice: str | None = None
    recording: Recording | None = None
    text: str | None = None  # with a recording: a message that precedes it


class Conversation:
    """One connection. `log` and `playback` hold what was seen and heard, also after a failure."""

    def __init__(self, request: TalkRequest, watch: Watcher) -> None:
        """`watch(at, event, rows)` is called for every server event, in the order of arrival."""
        self._request = request
        self._watch = watch
        recording = request.recording
        self.log = TurnLog(recording.voice_end_before if recording else lambda ms: None)
        self.playback = Playback()
        self._zero = time.perf_counter()
        self._last_event_at = 0.0
        self._turn_detection: Mapping[str, Any] | None = None

    async def hold(self) -> None:
        """Say everything and wait for the last reply. May be cancelled. Raises `TalkError`."""
        async with await self._connect() as socket:
            try:
                await self._prepare(socket)
                self._zero, self._last_event_at = time.perf_counter(), 0.0
                await _first_to_end(self._receive(socket), self._speak(socket))
            except ConnectionClosed as error:
                last = f" after it reported: {self.log.errors[-1]}" if self.log.errors else ""
                raise TalkError(f"the server ended the connection ({error}){last}") from None

    @property
    def silence_ms(self) -> int | None:
        """The silence after which the session ends a turn; None where something else ends it."""
        detection = self._turn_detection or {}
        return detection.get("silence_duration_ms") if detection.get("type") == "server_vad" else None

    @property
    def status(self) -> str:
        """What is going on, in a few words."""
        recording = self._request.recording
        if recording is None:
            return "waiting for the reply"
        if self._now() * 1000 < recording.duration_ms:
            return f"speaking: {self._now():.1f} of {recording.duration_ms / 1000:.1f} s"
        return "waiting for the reply" if not self.log.idle else "silence"

    def _now(self) -> float:
        return time.perf_counter() - self._zero

    # --- opening -------------------------------------------------------------------------------------

    async def _connect(self) -> ClientConnection:
        url, key = self._request.url, self._request.api_key
        try:
            return await connect(
                url,
                additional_headers={"Authorization": f"Bearer {key}"} if key else {},
                compression=None,  # speech does not compress; it would only cost time
                max_size=None,
                open_timeout=_OPEN_SECONDS,
                proxy=None if is_loopback(url) else True,
            )
        except InvalidStatus as error:
            raise TalkError(_refusal(error.response.status_code, bytes(error.response.body or b""))) from None
        except ssl.SSLCertVerificationError as error:
            raise TalkError(
                f"the certificate of {url} is not accepted: {error.verify_message}. Use a name that it is"
                " for, and where no public authority signed it, SSL_CERT_FILE=THE-AUTHORITY.pem"
            ) from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise TalkError(
                f"no Realtime server answers at {url} ({error}); start one with `parley serve`, or leave"
                " --url away and one is started for the occasion"
            ) from None

    async def _prepare(self, socket: ClientConnection) -> None:
        """Wait for the greeting and change in the session only what differs from what is needed."""
        session = (await self._expect(socket, "session.created")).get("session", {})
        audio = session.get("audio", {})
        given, spoken = audio.get("input", {}), audio.get("output", {})
        wanted: dict[str, Any] = {"input": {}, "output": {}}
        if given.get("format") != _PCM:
            wanted["input"]["format"] = _PCM
        if given.get("transcription") is None:
            wanted["input"]["transcription"] = {"model": "gpt-4o-mini-transcribe"}
        if spoken.get("format") != _PCM:
            wanted["output"]["format"] = _PCM
        if self._request.voice is not None and self._request.voice != spoken.get("voice"):
            wanted["output"]["voice"] = self._request.voice
        own: dict[str, Any] = {}
        # Only servers with an object for the client's own use name their speech model; others refuse it.
        if self._request.recording is not None and "model" in spoken:
            own["providerData"] = {**(session.get("providerData") or {}), "turn_suggestions": True}
        if wanted["input"] or wanted["output"] or own:
            await _send(
                socket,
                type="session.update",
                event_id="settings",
                session={"type": "realtime", "audio": wanted, **own},
            )
            session = (await self._expect(socket, "session.updated")).get("session", {})
            given = session.get("audio", {}).get("input", {})
        self._turn_detection = given.get("turn_detection")

    async def _expect(self, socket: ClientConnection, name: str) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                while True:
                    event = self._take(await socket.recv())
                    if event.get("type") == name:
                        return event
                    if event.get("type") == "error":
                        hint = _KEY_HINT if event.get("error", {}).get("code") == "invalid_api_key" else ""
                        raise TalkError(f"the server refused: {self.log.errors[-1]}{hint}")
        except TimeoutError:
            raise TalkError(f"the server sent no {name} within {_OPEN_SECONDS:.0f} s") from None

    # --- listening -----------------------------------------------------------------------------------

    async def _receive(self, socket: ClientConnection) -> None:
        while True:
            event = self._take(await socket.recv())
            match event.get("type"):
                case "input_audio_buffer.speech_started":
                    for unheard in self.playback.interrupt(self._now()):
                        await _send(
                            socket,
                            type="conversation.item.truncate",
                            item_id=unheard.item_id,
                            content_index=unheard.content_index,
                            audio_end_ms=unheard.heard_ms,
                        )
                case "input_audio_buffer.committed":
                    if self._turn_detection and self._turn_detection.get("create_response") is False:
                        await _send(socket, type="response.create", event_id="answer")
                case "error":
                    if event.get("error", {}).get("event_id") in {"message", "commit", "answer"}:
                        raise TalkError(f"the server refused: {self.log.errors[-1]}")

    def _take(self, frame: str | bytes) -> Mapping[str, Any]:
        at = self._now()
        try:
            event = orjson.loads(frame)
            if not isinstance(event, dict):
                raise TypeError
        except (orjson.JSONDecodeError, TypeError):
            raise TalkError(
                "the server sent something that is not an event of the Realtime protocol"
            ) from None
        self._last_event_at = at
        if event.get("type") == "response.output_audio.delta":
            self.playback.add(
                at,
                str(event.get("item_id")),
                int(event.get("content_index", 0)),
                pybase64.b64decode(event.get("delta") or ""),
            )
        self._watch(at, event, self.log.receive(at, event))
        return event

    # --- speaking ------------------------------------------------------------------------------------

    async def _speak(self, socket: ClientConnection) -> None:
        if self._request.text is not None:
            content = [{"type": "input_text", "text": self._request.text}]
            item = {"type": "message", "role": "user", "content": content}
            await _send(socket, type="conversation.item.create", event_id="message", item=item)
        if self._request.recording is not None:
            await self._stream(socket, self._request.recording)
            return
        self.log.text_sent(self._now())
        await _send(socket, type="response.create", event_id="answer")
        while not self.log.idle:
            self._check_stall()
            await asyncio.sleep(_CHUNK_MS / 1000)

    async def _stream(self, socket: ClientConnection, recording: Recording) -> None:
        """Send the recording and then silence, at the pace of a microphone, until all is answered."""
        sent = 0
        committed = False
        while not (sent >= len(recording.pcm) and self._over(recording, sent)):
            # By the clock and not by the last chunk, so that no delay adds up.
            await asyncio.sleep(max(0.0, (sent + _CHUNK_BYTES) / 2 / RATE - self._now()))
            chunk = recording.pcm[sent : sent + _CHUNK_BYTES].ljust(_CHUNK_BYTES, b"\0")
            await _send(socket, type="input_audio_buffer.append", audio=pybase64.b64encode(chunk).decode())
            sent += _CHUNK_BYTES
            self.log.audio_sent(self._now(), sent / 2 / RATE * 1000)
            if sent >= len(recording.pcm) and self._turn_detection is None and not committed:
                committed = True
                await _send(socket, type="input_audio_buffer.commit", event_id="commit")
                await _send(socket, type="response.create", event_id="answer")

    def _over(self, recording: Recording, sent: int) -> bool:
        """Whether the conversation has come to its end. Raises `TalkError` where it never will."""
        if not self.log.idle:
            self._check_stall()
            return False
        voice_end = recording.voice_end
        if voice_end is not None and self.log.heard_until_ms >= voice_end:
            return True
        if sent / 2 / RATE * 1000 < recording.duration_ms + self._patience_ms():
            return False
        if not self.log.turns:
            raise TalkError(f"no speech was detected in {recording.name}")
        return True  # the rest of the recording was not speech to the server

    def _patience_ms(self) -> float:
        """How long a server may wait in silence before it ends a turn, and some more."""
        detection = self._turn_detection or {}
        longest = (
            8000 if detection.get("type") == "semantic_vad" else detection.get("silence_duration_ms", 500)
        )
        return float(longest) + _PATIENCE_MS

    def _check_stall(self) -> None:
        recording = self._request.recording
        due_since = max(self._last_event_at, recording.duration_ms / 1000 if recording else 0.0)
        if self._now() - due_since > _STALL_SECONDS:
            raise TalkError(f"the server has been silent for {_STALL_SECONDS:.0f} s while a reply was due")


async def _first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """Run all of it until one ends or fails; the others are cancelled and waited for."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send(socket: ClientConnection, **event: Any) -> None:
    await socket.send(orjson.dumps(event).decode())


def _refusal(status: int, body: bytes) -> str:
    """What an HTTP answer in place of a WebSocket means to the user."""
    try:
        said = f": {orjson.loads(body)['error']['message']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = ""
    if status in (401, 403):
        return f"the server refused the key (HTTP {status}{said}){_KEY_HINT}"
    if status == 404:
        return f"there is no Realtime server at this address (HTTP 404{said})"
    return f"the server refused the connection (HTTP {status}{said})"
