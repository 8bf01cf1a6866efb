"""Scripts for the fake OpenAI API: what it answers, at which pace, and how it breaks.

A script is a `Reply` (status, headers and steps, fully in your hands) or one of `ChatReply`,
`TranscriptionReply` and `SpeechReply`, which make faithful replies out of their content. Each step is either
bytes to send, which leave as one HTTP chunk, or one of the things that happen between bytes.
"""

import array
import asyncio
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CUT",
    "HANG",
    "SPEECH_RATE",
    "ChatReply",
    "FakeCall",
    "Paced",
    "Reply",
    "Script",
    "SpeechReply",
    "Step",
    "TranscriptionReply",
    "Until",
    "Wait",
    "error",
    "frame",
    "rate_limited",
    "sine",
]

SPEECH_RATE = 24_000  # Hertz, of `response_format: pcm`
SECONDS_PER_CHARACTER = 0.01


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass between two pieces."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Until:
    """Go on once the test says so."""

    event: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Fault:
    name: str


HANG = _Fault("hang")  # say nothing more, but keep the connection open
CUT = _Fault("cut")  # kill the TCP connection

Step = bytes | Wait | Until | _Fault


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer. Without steps the body is empty."""

    steps: Sequence[Step] = ()
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0  # before the status line


def error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error in OpenAI's shape."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Reply((json.dumps(body).encode(),), status, headers=headers or {})


def rate_limited(retry_after: float | str | None = 1.0) -> Reply:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return error(
        429, "Rate limit reached for requests", kind="requests", code="rate_limit_exceeded", headers=headers
    )


def frame(value: Any, event: str | None = None) -> bytes:
    """One server-sent event, as OpenAI writes it: no escapes for what UTF-8 can say."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


@dataclass(frozen=True, slots=True)
class FakeCall:
    name: str
    arguments: str = "{}"
    id: str = ""  # empty: one is made up


_ids = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Paced:
    """How an answer comes; the base of scripts that make faithful answers out of their content."""

    delay_s: float = 0.0  # before the status line, as a slow model does
    pace_s: float = 0.0  # between pieces
    split: int | None = None  # cut the body into writes of so many bytes, wherever that falls
    break_after: int | None = None  # so many pieces come, then `break_with` instead of the rest
    break_with: Sequence[Step] = (CUT,)

    def steps(self, pieces: Sequence[bytes]) -> Iterator[Step]:
        """The body, with what happens to it on the way."""
        if self.break_after is not None:
            pieces = pieces[: self.break_after]
        if self.split:
            whole = b"".join(pieces)
            pieces = [whole[at : at + self.split] for at in range(0, len(whole), self.split)]
        for at, piece in enumerate(pieces):
            if at and self.pace_s:
                yield Wait(self.pace_s)
            yield piece
        if self.break_after is not None:
            yield from self.break_with


@dataclass(frozen=True, slots=True)
class ChatReply(Paced):
    """A completion: reasoning, then the text word by word, then the calls, fragmented as OpenAI does."""

    text: str = ""
    calls: Sequence[FakeCall] = ()
    finish: str | None = None  # None: "tool_calls" with calls, else "stop"
    reasoning: str = ""

    def render(self, body: Mapping[str, Any]) -> Reply:
        calls = [
            {"id": call.id or f"call_{next(_ids):024d}", "name": call.name, "arguments": call.arguments}
            for call in self.calls
        ]
        finish = self.finish or ("tool_calls" if calls else "stop")
        if not body.get("stream"):
            whole = json.dumps(self._completion(body, calls, finish), ensure_ascii=False).encode()
            return Reply(tuple(self.steps([whole])), delay_s=self.delay_s)
        pieces = [*self._chunks(body, calls, finish), frame("[DONE]")]
        return Reply(tuple(self.steps(pieces)), content_type="text/event-stream", delay_s=self.delay_s)

    def _usage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        prompt = sum(len(str(message.get("content") or "").split()) for message in body["messages"])
        completion = len(self.text.split()) + len(self.calls)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }

    def _head(self, body: Mapping[str, Any], kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{next(_ids)}",
            "object": kind,
            "created": 1_750_000_000,
            "model": body["model"],
        }

    def _completion(self, body: Mapping[str, Any], calls: list[Any], finish: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None, "refusal": None}
        if calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {key: call[key] for key in ("name", "arguments")},
                }
                for call in calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return {**self._head(body, "chat.completion"), "choices": [choice], "usage": self._usage(body)}

    def _chunks(self, body: Mapping[str, Any], calls: list[Any], finish: str) -> Iterator[bytes]:
        counts = bool((body.get("stream_options") or {}).get("include_usage"))
        head = self._head(body, "chat.completion.chunk") | ({"usage": None} if counts else {})

        def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return frame({**head, "choices": [choice]})

        yield chunk(
            {"role": "assistant", "content": None if calls and not self.text else "", "refusal": None}
        )
        for word in re.findall(r"\s*\S+|\s+$", self.reasoning):
            yield chunk({"reasoning_content": word})
        for word in re.findall(r"\s*\S+|\s+$", self.text):
            yield chunk({"content": word})
        for index, call in enumerate(calls):
            opening = {"name": call["name"], "arguments": ""}
            yield chunk(
                {"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": opening}]}
            )
            for piece in re.findall(r".{1,6}", call["arguments"], re.DOTALL):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, finish)
        if counts:
            yield frame({**head, "choices": [], "usage": self._usage(body)})


@dataclass(frozen=True, slots=True)
class TranscriptionReply(Paced):
    """A transcript: server-sent events where the request asks for a stream, else JSON or plain text."""

    text: str = ""
    languages: Sequence[str] | None = None  # as gpt-transcribe detects them
    speakers: Sequence[str] = ()  # who says each sentence in turn, where the request has them told apart

    def render(self, body: Mapping[str, Any]) -> Reply:
        if body.get("response_format") == "text":
            return Reply((f"{self.text}\n".encode(),), content_type="text/plain", delay_s=self.delay_s)
        segments = self._segments() if body.get("response_format") == "diarized_json" else []
        done: dict[str, Any] = {"text": self.text, "usage": self._usage(body)}
        sure = "logprobs" in body.get("include[]", ())
        if sure:
            done["logprobs"] = self._logprobs(self.text)
        if self.languages is not None:
            done["languages"] = [{"code": code} for code in self.languages]
        if body.get("stream") != "true" or body.get("model") == "whisper-1":
            if segments:
                done |= {"segments": segments, "duration": segments[-1]["end"], "task": "transcribe"}
            whole = json.dumps(done, ensure_ascii=False).encode()
            return Reply(tuple(self.steps([whole])), delay_s=self.delay_s)
        pieces = []
        for segment in segments or [{"text": self.text}]:
            for word in self._words(segment["text"]):
                delta: dict[str, Any] = {"type": "transcript.text.delta", "delta": word}
                delta |= {"logprobs": self._logprobs(word)} if sure else {}
                pieces.append(frame(delta | ({"segment_id": segment["id"]} if segments else {})))
            pieces += [frame(segment)] if segments else []
        pieces.append(frame({"type": "transcript.text.done"} | done))
        return Reply(tuple(self.steps(pieces)), content_type="text/event-stream", delay_s=self.delay_s)

    def _words(self, text: str) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", text)

    def _usage(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if body.get("model") == "whisper-1":  # paid by the minute
            return {"type": "duration", "seconds": 1}
        written = len(self._words(self.text))
        return {
            "type": "tokens",
            "input_tokens": 14,
            "output_tokens": written,
            "total_tokens": 14 + written,
            "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
        }

    def _logprobs(self, text: str) -> list[dict[str, Any]]:
        return [
            {"token": word, "logprob": -len(word) / 16, "bytes": list(word.encode())}
            for word in self._words(text)
        ]

    def _segments(self) -> list[dict[str, Any]]:
        """One per sentence, each a second long."""
        sentences = re.findall(r"[^.!?]+[.!?]?", self.text)
        return [
            {
                "type": "transcript.text.segment",
                "id": f"seg_{index:03}",
                "text": sentence,
                "speaker": self.speakers[index % len(self.speakers)] if self.speakers else "A",
                "start": float(index),
                "end": index + 1.0,
            }
            for index, sentence in enumerate(sentences)
        ]


@dataclass(frozen=True, slots=True)
class SpeechReply(Paced):
    """A tone whose length follows from the text, in chunks that split samples."""

    seconds_per_character: float = SECONDS_PER_CHARACTER
    chunk_bytes: int = 4801  # odd on purpose; 0.1 s of PCM and a byte
    pcm: bytes | None = None  # instead of the tone

    def render(self, body: Mapping[str, Any]) -> Reply:
        pcm = sine(len(body["input"]) * self.seconds_per_character) if self.pcm is None else self.pcm
        pieces = [pcm[at : at + self.chunk_bytes] for at in range(0, len(pcm), self.chunk_bytes)]
        return Reply(tuple(self.steps(pieces)), content_type="audio/pcm", delay_s=self.delay_s)


def sine(seconds: float, hertz: float = 440.0) -> bytes:
    """PCM at `SPEECH_RATE` with half of the full amplitude."""
    step = 2 * math.pi * hertz / SPEECH_RATE
    samples = array.array(
        "h", (round(16_000 * math.sin(step * at)) for at in range(round(seconds * SPEECH_RATE)))
    )
    return samples.tobytes()


Script = Reply | ChatReply | TranscriptionReply | SpeechReply
