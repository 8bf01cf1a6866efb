"""`POST {base}/audio/transcriptions`: one upload per utterance, the transcript streamed where possible."""

import io
import logging
import re
import wave
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from providers.contracts import SttEvent, SttOptions, TranscriptDelta, TranscriptFinal, TranscriptSegment
from providers.http import HttpClient
from providers.openai_quirks import Quirks
from providers.problems import Problem
from providers.stt.openai_transcripts import joined, read_transcript

__all__ = ["OpenAITranscriptionStt"]

log = logging.getLogger(__name__)

# The API takes files up to 25 MiB: 13.6 minutes at this rate. Longer audio goes in several requests.
MAX_PCM_BYTES = 24 * 1024 * 1024
CUT_SEARCH_S = 5.0  # how far before the limit a quiet place to cut is looked for
CUT_WINDOW_S = 0.02
MAX_ATTEMPTS = 4

_OPTIONAL = frozenset(
    {"stream", "prompt", "language", "languages", "keywords", "include", "chunking_strategy"}
)


class OpenAITranscriptionStt:
    """One model behind the transcription endpoint. The audio must be complete before it is sent."""

    sample_rate = 16_000
    streaming = False

    def __init__(self, http: HttpClient, model: str, *, max_pcm_bytes: int = MAX_PCM_BYTES) -> None:
        self._http = http
        self._model = model
        self._max_pcm_bytes = max_pcm_bytes
        self._diarizes = "diarize" in model
        self._takes_lists = model.startswith(("gpt-transcribe", "gpt-live-transcribe"))
        self._quirks = Quirks(_OPTIONAL)

    async def warm(self) -> None:
        """Have a connection ready."""
        await self._http.warm()

    async def transcribe(
        self, audio: AsyncIterator[bytes], options: SttOptions
    ) -> AsyncGenerator[SttEvent, None]:
        """Deltas come once the audio has ended. Nothing is asked for where there is no audio."""
        pcm = bytearray()
        async for chunk in audio:
            pcm += chunk
        finals: list[TranscriptFinal] = []
        begins = 0  # bytes of audio before this part
        for part in _parts(bytes(pcm), self._max_pcm_bytes, self.sample_rate):
            joint = " " if any(final.text for final in finals) else ""
            async with aclosing(self._part(part, options)) as events:
                async for event in events:
                    match event:
                        case TranscriptDelta(text, logprobs):
                            yield TranscriptDelta(joint + text, logprobs)
                            joint = ""
                        case TranscriptSegment():
                            yield _moved(event, len(finals), begins / 2 / self.sample_rate)
                        case TranscriptFinal():
                            finals.append(event)
            begins += len(part)
        yield joined(finals)

    def _fields(self, options: SttOptions) -> dict[str, str | Sequence[str]]:
        """The form, as far as this model is known to understand it."""
        fields: dict[str, str | Sequence[str]] = {"model": self._model, "stream": "true"}
        language, languages, prompt = options.language, options.languages, options.prompt or ""
        if len(languages) == 1 and not self._takes_lists:
            language, languages = languages[0], ()
        if language:
            fields["language"] = _iso_639(language)
        if self._diarizes:
            return fields | {"response_format": "diarized_json", "chunking_strategy": "auto"}
        fields["response_format"] = "json"
        if self._takes_lists:
            fields |= {"languages": tuple(dict.fromkeys(map(_iso_639, languages)))} if languages else {}
            fields |= {"keywords": options.keywords} if options.keywords else {}
        elif options.keywords:
            # Other models have one place for everything that may help them.
            prompt = f"{prompt} {', '.join(options.keywords)}".strip()
        if prompt:
            fields["prompt"] = prompt
        if options.logprobs:
            fields["include"] = ("logprobs",)
        return fields

    async def _part(self, pcm: bytes, options: SttOptions) -> AsyncGenerator[SttEvent, None]:
        fields = self._fields(options)
        file = _wav(pcm, self.sample_rate)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            form = self._quirks.apply(fields)
            posted = self._http.post_form(
                "/audio/transcriptions", form, filename="speech.wav", file=file, file_type="audio/wav"
            )
            async with posted as answer:
                if answer.status != 200:
                    problem = await answer.problem()
                    if attempt < MAX_ATTEMPTS and _drop_language(fields, problem):
                        log.debug("%s: %s", self._http.provider, problem.message)
                        continue
                    if attempt < MAX_ATTEMPTS and self._quirks.learn(form, problem):
                        continue
                    raise problem.to_error(self._http.provider)
                async with aclosing(read_transcript(answer, self._http)) as events:
                    async for event in events:
                        yield event
                return


def _iso_639(language: str) -> str:
    """The endpoint takes ISO 639-1, without the region."""
    return language.replace("_", "-").split("-")[0].lower()


def _drop_language(fields: dict[str, str | Sequence[str]], problem: Problem) -> bool:
    """Whether a language was refused by its value, and is now left out of this one request.

    That must not be learned for later ones: the languages of other sessions may be welcome.
    """
    for name in ("language", "languages") if problem.status in (400, 422) else ():
        value = fields.get(name, ())
        values = [value] if isinstance(value, str) else value
        if any(re.search(rf"""['"`]{re.escape(entry)}['"`]""", problem.message) for entry in values):
            del fields[name]
            return True
    return False


def _moved(segment: TranscriptSegment, part: int, seconds: float) -> TranscriptSegment:
    """A segment of the n-th part, as one of the whole recording."""
    if not part:
        return segment
    start, end = segment.start + seconds, segment.end + seconds
    return replace(segment, id=f"{segment.id}_{part}", start=start, end=end)


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
