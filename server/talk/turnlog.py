"""Turns server events into a timeline and latencies: values in, values out, no clock and no socket.

Events of GA carry no link from a response to what it answers, only their order: a response that begins
answers the last committed turn, and a second one for the same turn (after a tool call) adds to it.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.talk.turns import Turn

__all__ = ["Row", "TurnLog"]

_LEAD_MS = 80.0  # a detector may give up a fading word this much before its energy is gone
_PCM_BYTES_PER_MS = 48  # 24 kHz, 16 bits


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline. A later row with the same `key` replaces it."""

    key: str
    at: float  # seconds since the client began to speak
    label: str
    text: str = ""
    growing: bool = False  # more of the same is expected; what is shown may be unfinished
    bad: bool = False


class TurnLog:
    """The conversation so far, as far as a client can see it."""

    def __init__(self, voice_end_before: Callable[[float], float | None] = lambda ms: None) -> None:
        """`voice_end_before(ms)` says where in the recording the voice last sounded before `ms`."""
        self.turns: list[Turn] = []
        self.errors: list[str] = []
        self.heard_until_ms = 0.0  # how far the server has ended turns, in the recording
        self._voice_end_before = voice_end_before
        self._sent_ms: list[float] = []
        self._sent_at: list[float] = []
        self._open: set[str] = set()  # responses that are running
        self._speaking = False
        self._transcribed = True
        self._silence_ms = 0.0

    @property
    def current(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way: nobody speaks, all is transcribed, and the last turn has its reply.

        Earlier turns may lack one: a speaker who goes on can keep a reply from ever beginning.
        """
        if self._speaking or self._open:
            return False
        if self.turns and not self.turns[-1].response_ids:
            return False
        return not any(self._lacks_transcript(turn) for turn in self.turns)

    def audio_sent(self, at: float, until_ms: float) -> None:
        """The recording has been sent up to `until_ms`."""
        self._sent_at.append(at)
        self._sent_ms.append(until_ms)

    def text_sent(self, at: float) -> None:
        """A text message was sent that wants an answer."""
        self.turns.append(Turn(typed=True, voice_ended_at=at, committed=True))

    def receive(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        """Take in one server event; returns the lines that it adds to the timeline or replaces there."""
        name = str(event.get("type", "")).replace(".", "_")
        handler = getattr(self, f"_on_{name}", None)
        return handler(at, event) if handler is not None else []

    def _on_session_updated(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        given = event.get("session", {}).get("audio", {}).get("input", {})
        self._transcribed = given.get("transcription") is not None
        detection = given.get("turn_detection") or {}
        self._silence_ms = detection.get("silence_duration_ms") or 0.0
        return []

    _on_session_created = _on_session_updated

    # --- the user's side -----------------------------------------------------------------------------

    def _on_input_audio_buffer_speech_started(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = Turn(str(event.get("item_id", "")), started_at=at, started_ms=event.get("audio_start_ms"))
        self.turns.append(turn)
        self._speaking = True
        return [
            self._row(
                turn, "started", at, "speech started", f"at {_seconds(turn.started_ms)} of the recording"
            )
        ]

    def _on_turn_suggestion(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_item(event)
        turn.suggestions += 1
        silence = f"after {event.get('trailing_silence_ms')} ms of silence"
        text = f"{_probability(event.get('probability'))} {silence}"
        return [self._row(turn, f"suggested{turn.suggestions}", at, "turn suggested", text)]

    def _on_turn_suggestion_revoked(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_item(event)
        return [self._row(turn, f"revoked{turn.suggestions}", at, "suggestion revoked", "not over after all")]

    def _on_input_audio_buffer_timeout_triggered(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_item(event)
        turn.transcript_at = at  # there are no words to wait for
        text = f"nobody spoke from {_seconds(event.get('audio_start_ms'))}"
        text += f" to {_seconds(event.get('audio_end_ms'))}"
        return [self._row(turn, "idle", at, "idle timeout", text)]

    def _on_input_audio_buffer_speech_stopped(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_item(event)
        turn.stopped_at, turn.stopped_ms = at, event.get("audio_end_ms")
        self._speaking = False
        self._find_voice_end(turn)
        text = f"at {_seconds(turn.stopped_ms)}"
        if turn.voice_ended_ms is not None:
            text += f"; the voice had ended at {_seconds(turn.voice_ended_ms)}"
        return [self._row(turn, "stopped", at, "speech stopped", text)]

    def _on_input_audio_buffer_committed(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_item(event)
        turn.committed = True
        if turn.started_at is None:  # committed by hand
            self._find_voice_end(turn)
        return []

    def _on_conversation_item_input_audio_transcription_delta(
        self, at: float, event: Mapping[str, Any]
    ) -> list[Row]:
        turn = self._of_item(event)
        turn.transcript += event.get("delta") or ""
        return [self._row(turn, "transcript", at, "hearing", turn.transcript, growing=True)]

    def _on_conversation_item_input_audio_transcription_completed(
        self, at: float, event: Mapping[str, Any]
    ) -> list[Row]:
        turn = self._of_item(event)
        turn.transcript, turn.transcript_at = event.get("transcript") or "", at
        return [self._row(turn, "transcript", at, "heard", turn.transcript or "(no words)")]

    def _on_conversation_item_input_audio_transcription_failed(
        self, at: float, event: Mapping[str, Any]
    ) -> list[Row]:
        turn = self._of_item(event)
        turn.transcript_error = _reason(event.get("error"))
        return [self._row(turn, "transcript", at, "not understood", turn.transcript_error, bad=True)]

    # --- the reply -----------------------------------------------------------------------------------

    def _on_response_created(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        answered = next((turn for turn in reversed(self.turns) if turn.committed), None) or self._new_turn()
        response_id = str(event.get("response", {}).get("id", ""))
        self._open.add(response_id)
        answered.response_ids.append(response_id)
        if answered.created_at is None:
            answered.created_at = at
        return [self._row(answered, "created", at, "response created")]

    def _on_response_output_text_delta(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_response(event)
        rows = []
        if turn.first_text_at is None:
            turn.first_text_at = at
            rows.append(self._row(turn, "text", at, "first text", _after(turn, at)))
        turn.reply += event.get("delta") or ""
        return [*rows, self._row(turn, "reply", at, "reply", turn.reply, growing=True)]

    _on_response_output_audio_transcript_delta = _on_response_output_text_delta

    def _on_response_output_audio_delta(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_response(event)
        turn.audio_ms += len(event.get("delta") or "") * 3 / 4 / _PCM_BYTES_PER_MS
        if turn.first_audio_at is not None:
            return []
        turn.first_audio_at = at
        return [self._row(turn, "audio", at, "first audio", _after(turn, at))]

    def _on_response_function_call_arguments_done(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        turn = self._of_response(event)
        turn.calls.append(f"{event.get('name')}({event.get('arguments')})")
        return [self._row(turn, f"call{len(turn.calls)}", at, "function call", turn.calls[-1])]

    def _on_response_done(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        response = event.get("response", {})
        turn = self._of_response({"response_id": response.get("id")})
        self._open.discard(str(response.get("id", "")))
        turn.done_at, turn.status = at, str(response.get("status", ""))
        details = response.get("status_details") or {}
        if turn.status == "failed":
            turn.error = _reason(details.get("error"))
        rows = []
        if turn.reply:
            rows.append(self._row(turn, "reply", at, "reply", turn.reply))
        text = f"{_seconds(turn.audio_ms)} of speech" if turn.audio_ms else ""
        if turn.status != "completed":
            why = turn.error or str(details.get("reason", "")).replace("_", " ")
            text = ", ".join(part for part in (why, text) if part)
        return [*rows, self._row(turn, "done", at, f"response {turn.status}", text, bad=turn.failed)]

    def _on_error(self, at: float, event: Mapping[str, Any]) -> list[Row]:
        self.errors.append(_reason(event.get("error")))
        return [Row(f"error{len(self.errors)}", at, "error", self.errors[-1], bad=True)]

    # --- helpers -------------------------------------------------------------------------------------

    def _row(
        self,
        turn: Turn,
        name: str,
        at: float,
        label: str,
        text: str = "",
        growing: bool = False,
        bad: bool = False,
    ) -> Row:
        return Row(f"{self.turns.index(turn)}.{name}", at, label, text, growing, bad)

    def _new_turn(self) -> Turn:
        self.turns.append(Turn())
        return self.turns[-1]

    def _of_item(self, event: Mapping[str, Any]) -> Turn:
        """The turn of the event's item; a new one for an item that was not announced by speech."""
        item_id = str(event.get("item_id", ""))
        for turn in self.turns:
            if turn.item_id == item_id:
                return turn
        turn = self._new_turn()
        turn.item_id = item_id
        return turn

    def _of_response(self, event: Mapping[str, Any]) -> Turn:
        response_id = str(event.get("response_id", ""))
        for turn in self.turns:
            if response_id in turn.response_ids:
                return turn
        turn = self._new_turn()
        turn.response_ids.append(response_id)
        return turn

    def _find_voice_end(self, turn: Turn) -> None:
        until = turn.stopped_ms if turn.stopped_ms is not None else (self._sent_ms or [0.0])[-1]
        self.heard_until_ms = max(self.heard_until_ms, until)
        # A click, or the first sound of the next word, may fall into the silence that ended the turn.
        turn.voice_ended_ms = self._voice_end_before(until - max(0.0, self._silence_ms - _LEAD_MS))
        if turn.voice_ended_ms is not None and self._sent_ms:
            sent = bisect_left(self._sent_ms, turn.voice_ended_ms)
            turn.voice_ended_at = self._sent_at[min(sent, len(self._sent_at) - 1)]

    def _lacks_transcript(self, turn: Turn) -> bool:
        if turn.typed or not turn.committed or not self._transcribed:
            return False
        return turn.transcript_at is None and not turn.transcript_error


def _seconds(ms: float | None) -> str:
    return "?" if ms is None else f"{ms / 1000:.2f} s"


def _probability(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "?"


def _after(turn: Turn, at: float) -> str:
    if turn.voice_ended_at is None:
        return ""
    waited = (at - turn.voice_ended_at) * 1000
    return f"{waited:.0f} ms after the " + ("message" if turn.typed else "voice ended")


def _reason(error: Any) -> str:
    """One line out of an `error` object of the protocol, whatever members it has."""
    if not isinstance(error, Mapping):
        return "no reason was given"
    message = str(error.get("message") or "no reason was given")
    code = error.get("code") or error.get("type")
    return f"{message} ({code})" if code else message
