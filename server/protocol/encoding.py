"""Server events: facts of the pipeline in, JSON text out. Dialects start from what the GA one says."""

from dataclasses import asdict
from typing import Any, assert_never

import orjson

from pipeline.config import AudioFormat
from pipeline.errors import InvalidRequest
from pipeline.events import (
    AudioDelta,
    AudioDone,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
    BufferCleared,
    BufferCommitted,
    CallArgumentsDelta,
    CallArgumentsDone,
    ErrorRaised,
    Event,
    IdleTimeout,
    ItemAdded,
    ItemDeleted,
    ItemDone,
    ItemRetrieved,
    ItemTruncated,
    McpArgumentsDelta,
    McpArgumentsDone,
    McpCallProgress,
    McpListingProgress,
    OutputItemAdded,
    OutputItemDone,
    Part,
    PartAdded,
    PartDone,
    RateLimitsUpdated,
    ResponseCreated,
    ResponseDone,
    SessionCreated,
    SessionUpdated,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextDone,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    TranscriptionSegment,
    TurnSuggested,
    TurnSuggestionRevoked,
)
from pipeline.ids import new_id
from server.protocol.dialects import GA, Dialect
from server.protocol.objects import (
    Json,
    audio_json,
    item_json,
    logprobs_json,
    response_json,
    session_json,
    transcription_usage_json,
)
from server.protocol.profiles import PARLEY, Profile

__all__ = ["Encoder", "error_json"]


def error_json(
    error: InvalidRequest, client_event_id: str | None, kind: str = "invalid_request_error"
) -> Json:
    """The body of an `error` event."""
    return {
        "type": kind,
        "code": error.code,
        "message": error.message,
        "param": error.param,
        "event_id": client_event_id,
    }


class Encoder:
    """Writes the events of one session, in the dialect of one client."""

    def __init__(
        self, session_id: str, expires_at: int, profile: Profile = PARLEY, dialect: Dialect = GA
    ) -> None:
        self._session_id = session_id
        self._expires_at = expires_at  # unix seconds
        self._profile = profile
        self._dialect = dialect

    def encode(self, event: Event) -> list[str]:
        """Text frames: one of most events; none, or more than one, where the dialect has it so."""
        if isinstance(event, AudioDelta):  # the one frequent event: a template is ten times cheaper than JSON
            part = event.part
            frame = (
                f'{{"type":"{self._dialect.audio_delta}","event_id":"{new_id("event")}",'
                f'"response_id":"{part.response_id}","item_id":"{part.item_id}",'
                f'"output_index":{part.output_index},"content_index":{part.content_index},'
                f'"delta":"{audio_json(event.pcm, event.format)}"}}'
            )
            return [frame]
        told = [self._members(event)]
        if isinstance(event, SessionCreated):
            conversation = {"id": event.conversation_id, "object": "realtime.conversation"}
            told.append(("conversation.created", {"conversation": conversation}))
        frames = [self._dialect.write(kind, members) for kind, members in told]
        return [_frame(*frame) for frame in frames if frame is not None]

    def _members(self, event: Event) -> tuple[str, dict[str, Any]]:
        match event:
            case SessionCreated(config):
                return "session.created", {
                    "session": session_json(self._session_id, config, self._expires_at, self._profile)
                }
            case SessionUpdated(config):
                return "session.updated", {
                    "session": session_json(self._session_id, config, self._expires_at, self._profile)
                }
            case ErrorRaised(error, client_event_id, error_kind):
                return "error", {"error": error_json(error, client_event_id, error_kind)}
            # input audio
            case SpeechStarted(item_id, audio_start_ms):
                return "input_audio_buffer.speech_started", {
                    "item_id": item_id,
                    "audio_start_ms": audio_start_ms,
                }
            case SpeechStopped(item_id, audio_end_ms):
                return "input_audio_buffer.speech_stopped", {"item_id": item_id, "audio_end_ms": audio_end_ms}
            case TurnSuggested():
                return "turn_suggestion", {
                    "item_id": event.item_id,
                    "utterance_index": event.utterance_index,
                    "probability": round(event.probability, 4),
                    "trailing_silence_ms": event.trailing_silence_ms,
                    "audio_duration_ms": event.audio_duration_ms,
                    "inference_ms": round(event.inference_ms, 1),
                }
            case TurnSuggestionRevoked(item_id, utterance_index):
                return "turn_suggestion_revoked", {"item_id": item_id, "utterance_index": utterance_index}
            case IdleTimeout(item_id, audio_start_ms, audio_end_ms):
                return "input_audio_buffer.timeout_triggered", {
                    "item_id": item_id,
                    "audio_start_ms": audio_start_ms,
                    "audio_end_ms": audio_end_ms,
                }
            case BufferCommitted(item_id, previous_item_id):
                return "input_audio_buffer.committed", {
                    "item_id": item_id,
                    "previous_item_id": previous_item_id,
                }
            case BufferCleared():
                return "input_audio_buffer.cleared", {}
            case TranscriptionDelta(item_id, delta, logprobs):
                members = {"item_id": item_id, "content_index": 0, "delta": delta}
                if logprobs:
                    members["logprobs"] = logprobs_json(logprobs)
                return "conversation.item.input_audio_transcription.delta", members
            case TranscriptionSegment(item_id, segment):
                return "conversation.item.input_audio_transcription.segment", {
                    "item_id": item_id,
                    "content_index": 0,
                    "id": segment.id,
                    "text": segment.text,
                    "speaker": segment.speaker,
                    "start": segment.start,
                    "end": segment.end,
                }
            case TranscriptionCompleted(item_id, transcript, seconds, logprobs, languages, usage, profile):
                members = {
                    "item_id": item_id,
                    "content_index": 0,
                    "transcript": transcript,
                    "usage": transcription_usage_json(usage, seconds),
                }
                if logprobs:
                    members["logprobs"] = logprobs_json(logprobs)
                if languages is not None:
                    members["languages"] = [{"code": code} for code in languages]
                if profile is not None:
                    members["providerData"] = {"voiceProfile": dict(profile)}
                return "conversation.item.input_audio_transcription.completed", members
            case TranscriptionFailed(item_id, code, message):
                failure = {"type": "transcription_error", "code": code, "message": message}
                return "conversation.item.input_audio_transcription.failed", {
                    "item_id": item_id,
                    "content_index": 0,
                    "error": failure,
                }
            # items
            case ItemAdded(item, previous_item_id):
                return "conversation.item.added", {
                    "item": item_json(item),
                    "previous_item_id": previous_item_id,
                }
            case ItemDone(item, previous_item_id):
                return "conversation.item.done", {
                    "item": item_json(item),
                    "previous_item_id": previous_item_id,
                }
            case ItemRetrieved(item, audio):
                return "conversation.item.retrieved", {"item": item_json(item, audio)}
            case ItemDeleted(item_id):
                return "conversation.item.deleted", {"item_id": item_id}
            case ItemTruncated(item_id, content_index, audio_end_ms):
                return "conversation.item.truncated", {
                    "item_id": item_id,
                    "content_index": content_index,
                    "audio_end_ms": audio_end_ms,
                }
            # responses
            case ResponseCreated(response):
                return "response.created", {"response": response_json(response)}
            case ResponseDone(response):
                return "response.done", {"response": response_json(response)}
            case RateLimitsUpdated(limits):
                return "rate_limits.updated", {"rate_limits": [asdict(limit) for limit in limits]}
            case OutputItemAdded(response_id, output_index, item):
                return "response.output_item.added", {
                    "response_id": response_id,
                    "output_index": output_index,
                    "item": item_json(item),
                }
            case OutputItemDone(response_id, output_index, item):
                return "response.output_item.done", {
                    "response_id": response_id,
                    "output_index": output_index,
                    "item": item_json(item),
                }
            case PartAdded(part, part_kind):
                return "response.content_part.added", _address(part) | {"part": _part_json(part_kind, "")}
            case PartDone(part, part_kind, text):
                return "response.content_part.done", _address(part) | {"part": _part_json(part_kind, text)}
            case TextDelta(part, delta):
                return "response.output_text.delta", _address(part) | {"delta": delta}
            case TextDone(part, text):
                return "response.output_text.done", _address(part) | {"text": text}
            case TranscriptDelta(part, delta):
                return "response.output_audio_transcript.delta", _address(part) | {"delta": delta}
            case TranscriptDone(part, transcript):
                return "response.output_audio_transcript.done", _address(part) | {"transcript": transcript}
            case AudioDelta(part, pcm, format):
                delta = audio_json(pcm, format)
                return "response.output_audio.delta", _address(part) | {"delta": delta}
            case AudioDone(part):
                return "response.output_audio.done", _address(part)
            case CallArgumentsDelta(part, call_id, delta):
                return "response.function_call_arguments.delta", _item_address(part) | {
                    "call_id": call_id,
                    "delta": delta,
                }
            case CallArgumentsDone(part, call_id, name, arguments):
                return "response.function_call_arguments.done", _item_address(part) | {
                    "call_id": call_id,
                    "name": name,
                    "arguments": arguments,
                }
            # tools of the server's own
            case McpListingProgress(item_id, stage):
                return f"mcp_list_tools.{stage}", {"item_id": item_id}
            case McpArgumentsDelta(part, delta):
                # Some clients insist on the padding that hides how long a delta is.
                return "response.mcp_call_arguments.delta", _item_address(part) | {
                    "delta": delta,
                    "obfuscation": "",
                }
            case McpArgumentsDone(part, arguments):
                return "response.mcp_call_arguments.done", _item_address(part) | {"arguments": arguments}
            case McpCallProgress(part, stage):
                return f"response.mcp_call.{stage}", {
                    "item_id": part.item_id,
                    "output_index": part.output_index,
                }
            # listener sounds
            case BackchannelAudio(backchannel_id, pcm):
                return "response.backchannel.audio.delta", {
                    "backchannel_id": backchannel_id,
                    "delta": audio_json(pcm, AudioFormat()),
                }
            case BackchannelDone(backchannel_id, phrase):
                return "response.backchannel.audio.done", {
                    "backchannel_id": backchannel_id,
                    "phrase": phrase,
                }
            case BackchannelSkipped(backchannel_id, reason):
                return "response.backchannel.skipped", {
                    "backchannel_id": backchannel_id,
                    "reason": reason,
                }
            case _:
                assert_never(event)


def _frame(kind: str, members: Json) -> str:
    return orjson.dumps({"type": kind, "event_id": new_id("event"), **members}).decode()


def _item_address(part: Part) -> Json:
    return {"response_id": part.response_id, "item_id": part.item_id, "output_index": part.output_index}


def _address(part: Part) -> Json:
    return _item_address(part) | {"content_index": part.content_index}


def _part_json(kind: str, text: str) -> Json:
    return {"type": "text", "text": text} if kind == "text" else {"type": "audio", "transcript": text}
