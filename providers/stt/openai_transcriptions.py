"""`POST {base}/audio/transcriptions`: one upload per utterance, the transcript streamed where possible."""

import io
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
import orjson

from providers.contracts import SttEvent, SttOptions, TranscriptDelta, TranscriptFinal
from providers.errors import ConnectionFailedError
from providers.http import Answer, HttpClient
from providers.openai_quirks import Quirks
from providers.problems import problem_from_object

__all__ = ["OpenAITranscriptionStt"]

# The API takes files up to 25 MiB: 13.6 minutes at this rate. Longer audio goes in several requests.
MAX_PCM_BYTES = 24 * 1024 * 1024
CUT_SEARCH_S = 5.0  # how far before the limit a quiet place to cut is looked for
CUT_WINDOW_S = 0.02
MAX_ATTEMPTS = 4

_OPTIONAL = frozenset({"stream", "prompt", "language"})


class OpenAITranscriptionStt:
    """One model behind the transcription endpoint. The audio must be complete before it is sent."""

    sample_rate = 16_000
    streaming = False

    def __init__(self, http: HttpClient, model: str, *, max_pcm_bytes: int = MAX_PCM_BYTES) -> None:
        self._http = http
        self._model = model
        self._max_pcm_bytes = max_pcm_bytes
        self._quirks = Quirks(_OPTIONAL)

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Deltas come once the audio has ended. Nothing is asked for where there is no audio."""
        pcm = bytearray()
        async for chunk in audio:
            pcm += chunk
        texts: list[str] = []
        for part in _parts(bytes(pcm), self._max_pcm_bytes, self.sample_rate):
            joint = " " if any(texts) else ""
            async with aclosing(self._part(part, options)) as events:
                async for event in events:
                    if isinstance(event, TranscriptDelta):
                        yield TranscriptDelta(joint + event.text)
                        joint = ""
                    else:
                        texts.append(event.text)
        yield TranscriptFinal(" ".join(text for text in texts if text))

    async def _part(self, pcm: bytes, options: SttOptions) -> AsyncGenerator[SttEvent, None]:
        fields = {"model": self._model, "response_format": "json", "stream": "true"}
        if options.language:
            # The endpoint takes ISO 639-1, without the region.
            fields["language"] = options.language.replace("_", "-").split("-")[0].lower()
        if options.prompt:
            fields["prompt"] = options.prompt
        file = _wav(pcm, self.sample_rate)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            form = self._quirks.apply(fields)
            posted = self._http.post_form(
                "/audio/transcriptions", form, filename="speech.wav", file=file, file_type="audio/wav"
            )
            async with posted as answer:
                if answer.status != 200:
                    problem = await answer.problem()
                    if attempt < MAX_ATTEMPTS and self._quirks.learn(form, problem):
                        continue
                    raise problem.to_error(self._http.provider)
                async with aclosing(self._read(answer)) as events:
                    async for event in events:
                        yield event
                return

    async def _read(self, answer: Answer) -> AsyncGenerator[SttEvent, None]:
        if answer.content_type == "text/event-stream":
            async with aclosing(self._read_stream(answer)) as events:
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
            raise problem_from_object(value, self._http.redactor).to_error(self._http.provider)
        if not isinstance(value, Mapping) or not isinstance(value.get("text"), str):
            raise answer.bad("sent a transcript without text")
        yield TranscriptFinal(value["text"].strip())

    async def _read_stream(self, answer: Answer) -> AsyncGenerator[SttEvent, None]:
        name = self._http.provider
        text = ""
        async with aclosing(answer.sse()) as frames:
            async for frame in frames:
                if frame.data.strip() == "[DONE]":
                    break
                try:
                    value = orjson.loads(frame.data)
                except orjson.JSONDecodeError:
                    raise answer.bad("sent a chunk that is not JSON") from None
                if not isinstance(value, Mapping):
                    raise answer.bad("sent a chunk that is not an object")
                if value.get("error"):
                    raise problem_from_object(value, self._http.redactor).to_error(name)
                if value.get("type") == "transcript.text.done":
                    final = value.get("text")
                    yield TranscriptFinal((final if isinstance(final, str) else text).strip())
                    break
                if delta := _delta(value):
                    # White space in front of the first word is the model's, not the speaker's.
                    delta = delta if text else delta.lstrip()
                    text += delta
                    if delta:
                        yield TranscriptDelta(delta)
            else:
                raise ConnectionFailedError(f"{name} broke off its transcript", provider=name)
        if frame.data.strip() == "[DONE]":
            yield TranscriptFinal(text.strip())
        await answer.drain()


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


def _parts(pcm: bytes, limit: int, rate: int) -> list[bytes]:
    """The audio in pieces of at most `limit` bytes, cut where it is quietest."""
    parts = []
    while len(pcm) > limit:
        cut = _quiet_cut(pcm[:limit], rate)
        parts.append(pcm[:cut])
        pcm = pcm[cut:]
    return [*parts, pcm] if pcm else parts


def _quiet_cut(pcm: bytes, rate: int) -> int:
    """The byte position in the middle of the quietest window near the end."""
    window = max(1, int(rate * CUT_WINDOW_S))
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2")
    search = samples[max(len(samples) // 2, len(samples) - int(rate * CUT_SEARCH_S)) :]
    windows = search[: len(search) // window * window].astype(np.float32).reshape(-1, window)
    if not len(windows):
        return len(samples) * 2
    quietest = int(np.argmin((windows**2).sum(axis=1)))
    return (len(samples) - len(search) + quietest * window + window // 2) * 2


def _wav(pcm: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return out.getvalue()
