"""What the transcription endpoint of OpenAI and of compatible servers answers, read into our events."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from providers.contracts import (
    SttEvent,
    SttUsage,
    TokenLogprob,
    TranscriptDelta,
    TranscriptFinal,
    TranscriptSegment,
)
from providers.errors import ConnectionFailedError
from providers.http import Answer, HttpClient
from providers.problems import problem_from_object

__all__ = ["joined", "read_transcript"]


async def read_transcript(answer: Answer, http: HttpClient) -> AsyncGenerator[SttEvent, None]:
    """Deltas and segments, then one final; raises `ProviderError` for anything else."""
    if answer.content_type == "text/event-stream":
        async with aclosing(_read_stream(answer, http)) as events:
            async for event in events:
                yield event
        return
    if answer.content_type == "text/html":
        raise answer.bad("answered with a web page; is its base_url right?")
    if answer.content_type == "text/plain":
        yield TranscriptFinal((await answer.body()).decode("utf-8", "replace").strip())
        return
    value = await answer.json()
    if isinstance(value, Mapping) and value.get("error"):
        raise problem_from_object(value, http.redactor).to_error(http.provider)
    if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
        raise answer.bad("sent a transcript without text")
    for segment in _objects(value.get("segments")):
        if (known := _segment(segment)) is not None:
            yield known
    yield _final(value, value["text"])


async def _read_stream(answer: Answer, http: HttpClient) -> AsyncGenerator[SttEvent, None]:
    text = ""
    async with aclosing(answer.sse()) as frames:
        async for frame in frames:
            if frame.data.strip() == "[DONE]":
                yield TranscriptFinal(text.strip())
                break
            try:
                value = orjson.loads(frame.data)
            except orjson.JSONDecodeError:
                raise answer.bad("sent a chunk that is not JSON") from None
            if not isinstance(value, Mapping):
                raise answer.bad("sent a chunk that is not an object")
            if value.get("error"):
                raise problem_from_object(value, http.redactor).to_error(http.provider)
            if value.get("type") == "transcript.text.done":
                final = value.get("text")
                yield _final(value, final if isinstance(final, str) else text)
                break
            if value.get("type") == "transcript.text.segment":
                if (segment := _segment(value)) is not None:
                    yield segment
            elif delta := _delta(value):
                # White space in front of the first word is the model's, not the speaker's.
                delta = delta if text else delta.lstrip()
                text += delta
                if delta:
                    yield TranscriptDelta(delta, _logprobs(value))
        else:
            raise ConnectionFailedError(f"{http.provider} broke off its transcript", provider=http.provider)
    await answer.drain()


def joined(finals: Sequence[TranscriptFinal]) -> TranscriptFinal:
    """One transcript of a recording that was sent in parts."""
    languages = [final.languages for final in finals if final.languages is not None]
    usages = [final.usage for final in finals if final.usage is not None]
    return TranscriptFinal(
        " ".join(final.text for final in finals if final.text),
        tuple(token for final in finals for token in final.logprobs),
        tuple(dict.fromkeys(code for codes in languages for code in codes)) if languages else None,
        _sum(usages) if usages and len(usages) == len(finals) else None,
    )


def _sum(usages: Sequence[SttUsage]) -> SttUsage:
    return SttUsage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        sum(usage.text_tokens for usage in usages),
        sum(usage.audio_tokens for usage in usages),
    )


def _final(value: Mapping[str, Any], text: str) -> TranscriptFinal:
    codes = [entry.get("code") for entry in _objects(value.get("languages"))]
    return TranscriptFinal(
        text.strip(),
        _logprobs(value),
        tuple(code for code in codes if isinstance(code, str)) if "languages" in value else None,
        _usage(value.get("usage")),
    )


def _delta(value: Mapping[str, Any]) -> str:
    """The increment in OpenAI's event, or in the chat-like chunk that vLLM sends."""
    if value.get("type") == "transcript.text.delta":
        found = value.get("delta")
    else:
        choices = value.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = choice.get("delta") if isinstance(choice, Mapping) else None
        found = delta.get("content") if isinstance(delta, Mapping) else None
    return found if isinstance(found, str) else ""


def _segment(value: Mapping[str, Any]) -> TranscriptSegment | None:
    """None for segments that do not say who spoke, as those of Whisper's verbose form."""
    match value:
        case {
            "id": str(id),
            "text": str(text),
            "speaker": str(speaker),
            "start": int() | float() as start,
            "end": int() | float() as end,
        }:
            return TranscriptSegment(id, text, speaker, float(start), float(end))
    return None


def _logprobs(value: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    found = []
    for entry in _objects(value.get("logprobs")):
        token, logprob, data = entry.get("token"), entry.get("logprob"), entry.get("bytes")
        if isinstance(token, str) and isinstance(logprob, int | float):
            found.append(TokenLogprob(token, float(logprob), _bytes(data) or token.encode()))
    return tuple(found)


def _bytes(value: Any) -> bytes:
    """Bytes from a list of numbers; none where it is something else."""
    try:
        return bytes(value) if isinstance(value, list) else b""
    except (TypeError, ValueError):
        return b""


def _usage(value: Any) -> SttUsage | None:
    """Counts of tokens; None where there are none, or seconds, which we know ourselves."""
    match value:
        case {"input_tokens": int(read), "output_tokens": int(written), **rest}:
            details = rest.get("input_token_details")
            text = details.get("text_tokens") if isinstance(details, Mapping) else None
            text = text if isinstance(text, int) and 0 <= text <= read else 0
            return SttUsage(read, written, text, read - text)
    return None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
