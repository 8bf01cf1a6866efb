"""Plays a clip to the real session engine in virtual time, with the models' answers after modelled delays.

What a session does with tasks and threads happens here on one clock, that of the audio: a frame's score is
known 5 ms after its end, a judgement 40 ms after it was asked for, a transcript after what the recogniser
takes for so much audio. The engine, its decisions and the recogniser's state machine are those of the server.
"""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from unittest.mock import patch

import pipeline.core.pauses
from benchmarks.turns.corpus import Clip
from benchmarks.turns.models import JUDGE_MS, VAD_MS, Ear, stt_ms
from pipeline.commands import (
    AudioAppended,
    Command,
    CreateResponse,
    EchoJudged,
    FrameScored,
    GenerationFinished,
    SpeechFinished,
    SpeechSynthesized,
    StartSession,
    TextGenerated,
    TranscriptGrew,
    TranscriptGuessed,
    TranscriptReady,
    TurnJudged,
)
from pipeline.config import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    SessionConfig,
    Transcription,
    TurnDetection,
)
from pipeline.core.endpointing import Decision, Evidence
from pipeline.core.engine import Engine
from pipeline.effects import (
    CheckEcho,
    DropUtterance,
    Effect,
    Emit,
    EndSegment,
    EndUtterance,
    JudgeTurn,
    ReportTurnDecision,
    StartGeneration,
    StartUtterance,
)
from pipeline.events import SpeechStarted, SpeechStopped, TurnSuggested
from pipeline.turn_taking import TurnTaking
from providers.stt.utterance import Job, Utterance

__all__ = ["Decide", "Heard", "deciding", "ride"]

FRAME = 512  # ticks
ECHO_MS = 2.0
_REPLY_S = 30  # of speech in a reply of the assistant

Decide = Callable[[Evidence, str], Decision]


@dataclass(slots=True)
class Heard:
    """What a system made of one clip: moments in ms from its start, at which clients were told."""

    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    suggestions: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)  # of each end, where it is known


class _Catalog:
    """Everything exists; nothing of it is asked."""

    def context_tokens(self, name: str) -> int:
        return 100_000

    def resolve_llm(self, name: str) -> str:
        return name

    def resolve_stt(self, name: str) -> str:
        return name

    def resolve_tts(self, name: str) -> str:
        return name

    def resolve_voice(self, tts: str, voice: str) -> str:
        return voice


@dataclass(slots=True)
class _Stream:
    """One transcription on its way."""

    utterance: Utterance
    fed: int  # ticks
    ended: bool = False
    job: Job | None = None


@contextmanager
def deciding(decide: Decide | None) -> Iterator[None]:
    """Have `semantic_vad` decide by another function for a while, to try thresholds out."""
    if decide is None:
        yield
        return
    with patch.object(pipeline.core.pauses, "decide", decide):
        yield


def ride(
    clip: Clip, detection: TurnDetection, ear: Ear, *, judged: bool, words: bool, talking: bool = False
) -> Heard:
    """Play a clip to the engine.

    `judged`: there is a turn model. `words`: turns are transcribed. `talking`: the assistant is heard
    meanwhile.
    """
    return _Ride(clip, detection, ear, judged=judged, words=words, talking=talking).run()


class _Ride:
    def __init__(
        self, clip: Clip, detection: TurnDetection, ear: Ear, *, judged: bool, words: bool, talking: bool
    ) -> None:
        config = SessionConfig(
            model="bench/llm",
            audio=AudioConfig(
                AudioInputConfig(Transcription("bench/stt"), turn_detection=detection),
                AudioOutputConfig(voice="bench", model="bench/tts"),
            ),
        )
        self._engine = Engine(
            config, _Catalog(), default_stt="bench/stt", turn_taking=TurnTaking(has_turn_model=judged)
        )
        self._clip, self._ear, self._words, self._talking = clip, ear, words, talking
        self._now = 0.0  # ms
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._waiting = 0  # judgements that frames wait for
        self._heard_to = 0  # ticks, of what the engine was told
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._speaking: tuple[str, int] | None = None
        self._reason = ""
        self._heard = Heard()

    def run(self) -> Heard:
        self._tell(StartSession())
        if self._talking:
            self._tell(CreateResponse())
        for index, score in enumerate(self._ear.frames(self._clip)):
            arrives = (index + 1) * FRAME / 16 + VAD_MS
            while self._agenda and (self._waiting or self._agenda[0][0] <= arrives):
                moment, _, act = heapq.heappop(self._agenda)
                self._now = max(self._now, moment)
                act()
            self._now = max(self._now, arrives)
            end = (index + 1) * FRAME
            self._feed(end)
            self._heard_to = end
            self._tell(AudioAppended(end), FrameScored(end - FRAME, end, score))
            if (
                self._clip.is_speech
                and not self._talking
                and any(t >= self._clip.end for t in self._heard.ends)
            ):
                break  # nothing more is to be found out
        return self._heard

    def _tell(self, *commands: Command) -> None:
        for command in commands:
            for effect in self._engine.handle(command, self._now / 1000):
                self._perform(effect)

    def _later(self, ms: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self._now + ms, next(self._order), act))

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Emit(SpeechStarted()):
                self._heard.starts.append(self._now)
            case Emit(SpeechStopped()):
                self._heard.ends.append(self._now)
                self._heard.reasons.append(self._reason)
            case Emit(TurnSuggested()):
                self._heard.suggestions.append(self._now)
            case ReportTurnDecision(outcome=outcome, evidence=evidence, decision=decision):
                if outcome == "suggest":
                    self._heard.suggestions.append(self._now)
                said = f"{decision.wait_ms} ms: {decision.reason}" if decision else "silence"
                self._reason = f"{outcome} after {evidence.silence_ms} ms, {said}, {evidence.text!r}"
            case JudgeTurn():
                self._waiting += 1
                self._later(JUDGE_MS, lambda: self._judge(effect))
            case CheckEcho(start, end):
                self._later(ECHO_MS, lambda: self._tell(EchoJudged(start, end, is_echo=False)))
            case StartUtterance(item_id, start, segment=segment) if self._words:
                self._streams[item_id, segment] = _Stream(Utterance(), start)
                self._speaking = item_id, segment
            case EndSegment(item_id, segment, end):
                self._end((item_id, segment), end)
            case EndUtterance(end=end):
                if self._speaking is not None:
                    self._end(self._speaking, end)
            case DropUtterance(item_id):
                self._speaking = None
                self._streams = {key: stream for key, stream in self._streams.items() if key[0] != item_id}
            case StartGeneration(response_id) if self._talking:
                self._later(0.0, lambda: self._talk(response_id))

    def _judge(self, order: JudgeTurn) -> None:
        self._waiting -= 1
        pcm = self._clip.pcm[2 * order.start : 2 * order.end]
        self._tell(TurnJudged(order.item_id, order.end, self._ear.finished(pcm), JUDGE_MS))

    def _talk(self, response_id: str) -> None:
        speech = SpeechSynthesized(response_id, bytes(48_000 * _REPLY_S))
        self._tell(TextGenerated(response_id, "So it is."), speech)
        self._tell(GenerationFinished(response_id, "stop"), SpeechFinished(response_id))
        self._later(1000 * _REPLY_S - 500, lambda: self._tell(CreateResponse()))

    # --- transcription --------------------------------------------------------------------------------

    def _feed(self, end: int) -> None:
        stream = self._streams.get(self._speaking) if self._speaking else None
        if stream is not None and end > stream.fed and self._speaking:
            stream.utterance.feed(self._clip.pcm[2 * stream.fed : 2 * end])
            stream.fed = end
            self._work(self._speaking)

    def _end(self, key: tuple[str, int], end: int) -> None:
        stream = self._streams.get(key)
        self._feed(end)
        self._speaking = None
        if stream is not None and not stream.ended:
            stream.ended = True
            self._work(key)

    def _work(self, key: tuple[str, int]) -> None:
        """Give the recogniser something to do, or its text to the engine; as `MoonshineStt` does."""
        stream = self._streams.get(key)
        if stream is None:
            return
        if stream.job is not None:
            if not stream.ended or stream.job.kind != "partial" or stream.utterance.covered(stream.job):
                return
            stream.job = None  # of no use any more
        while (job := stream.utterance.next_job(ended=stream.ended)) is not None:
            if job.known is None:
                stream.job = job
                self._later(stt_ms(job.pcm), lambda: self._transcribed(key, job))
                return
            self._grew(key, stream.utterance.finished(job, job.known))
        if stream.ended:
            del self._streams[key]
            delta, text = stream.utterance.finish()
            # In an order of its own, after the effects that led here.
            self._later(0.0, lambda: self._finish(key, delta, text))

    def _finish(self, key: tuple[str, int], delta: str, text: str) -> None:
        self._grew(key, delta)
        self._tell(TranscriptReady(key[0], text.strip(), segment=key[1]))

    def _transcribed(self, key: tuple[str, int], job: Job) -> None:
        stream = self._streams.get(key)
        if stream is None or stream.job is not job:
            return
        stream.job = None
        self._grew(key, stream.utterance.finished(job, self._ear.words(job.pcm)))
        self._tell(TranscriptGuessed(key[0], stream.utterance.text, key[1]))
        self._work(key)

    def _grew(self, key: tuple[str, int], delta: str) -> None:
        if delta:
            self._tell(TranscriptGrew(key[0], delta, segment=key[1]))
