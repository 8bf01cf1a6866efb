"""The transcripts of a session that are on their way: of turns, and of recordings inside items.

A turn is transcribed in one segment, or in several: where the speaker seemed to have finished and then went
on, the first segment ends there, so that its words were known early. Segments are joined by a space.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.commands import (
    EndOfTurnHeard,
    SpeakerHeard,
    TranscriptGrew,
    TranscriptGuessed,
    TranscriptionBroke,
    TranscriptReady,
)
from pipeline.config import LOGPROBS
from pipeline.core.state import State
from pipeline.effects import DropUtterance, EndSegment, EndUtterance, KeepClip, StartUtterance, TranscribeClip
from pipeline.errors import InvalidRequest
from pipeline.events import (
    Event,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    TranscriptionSegment,
)
from pipeline.extensions import extensions_of, spelled
from pipeline.items import ContentPart, InputAudio, Item, ItemReference, MessageItem
from pipeline.ticks import TICK_RATE
from providers.contracts import SttOptions, SttUsage, TokenLogprob

__all__ = ["Transcripts", "Utterance"]


@dataclass(slots=True)
class _Segment:
    sent: str = ""  # joined deltas so far
    guess: str = ""  # the text so far as it looks now, where the engine says so
    opinion: float | None = None  # of the engine, on whether the speaker has finished
    ended: bool = False  # no more audio will come
    # Deltas that wait for the end of the segment before, so that they come in the order of the words.
    unsent: list[tuple[str, tuple[TokenLogprob, ...]]] = field(default_factory=list)
    final: TranscriptReady | None = None

    @property
    def text(self) -> str:
        """The words so far."""
        if self.final is not None:
            return self.final.text
        return (self.guess if len(self.guess) >= len(self.sent) else self.sent).strip()


@dataclass(slots=True)
class Utterance:
    """One turn of the user on its way to a transcript."""

    item_id: str
    start: int  # ticks
    transcribed: bool  # whether anybody wants its text
    visible: bool  # whether the client gets transcription events
    announced: bool  # whether the client was told that it began
    # Whether deltas go out at once: the client knows the item's id, by speech_started or by the commit, or
    # it is here for nothing but transcripts.
    live: bool
    end: int | None = None  # None until it is committed
    held: list[Event] = field(default_factory=list)  # what waits for the commit
    broken: TranscriptionBroke | None = None  # failed before the commit
    segments: list[_Segment] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return 0.0 if self.end is None else (self.end - self.start) / TICK_RATE

    @property
    def text(self) -> str | None:
        """The words so far; None where nothing is known of them yet."""
        words = _joined(segment.text for segment in self.segments)
        return words if words or self.complete else None

    @property
    def opinion(self) -> float | None:
        """What the transcription engine says of whether the speaker has finished."""
        return self.segments[-1].opinion if self.segments else None

    def forget_opinion(self) -> None:
        """The speaker went on, so what the engine thought of the pause is void."""
        if self.segments:
            self.segments[-1].opinion = None

    @property
    def complete(self) -> bool:
        """Whether everything that was given to the transcription has come back as text."""
        return bool(self.segments) and all(segment.final is not None for segment in self.segments)


class Transcripts:
    """Opens, ends and drops transcriptions, and tells clients what comes of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.open: Utterance | None = None  # the one that is being spoken
        self._pending: dict[str, Utterance] = {}  # committed, transcript not there yet; by item id
        self._clips: set[tuple[str, int]] = set()  # recordings inside items, likewise

    def is_pending(self, item_id: str, content_index: int) -> bool:
        """Whether the transcript of that part is still on its way."""
        return (item_id, content_index) in self._clips or (content_index == 0 and item_id in self._pending)

    def check_room(self, more: int) -> None:
        """A client that has more and more transcripts made would have the others wait for theirs."""
        limit = self._state.limits.max_pending_transcripts
        if more and len(self._pending) + len(self._clips) + more > limit:
            raise InvalidRequest(
                f"More than {limit} recordings of this session would wait for their transcripts. "
                "Send more once some are done.",
                code="too_many_pending_transcripts",
            )

    # --- turns ----------------------------------------------------------------------------------------

    def begin(self, start: int, *, announced: bool) -> Utterance:
        """Transcribe the audio from that tick on, where anybody wants its text."""
        config = self._state.config
        visible = config.audio.input.transcription is not None
        transcribed = config.type == "realtime" or visible
        live = announced or config.type == "transcription"
        utterance = Utterance(self._state.new_id("item"), start, transcribed, visible, announced, live)
        self.open = utterance
        return utterance

    def start_segment(self, start: int) -> None:
        """Transcribe the open turn from that tick on; what came before is known."""
        utterance = self.open
        if utterance is None or not utterance.transcribed:
            return
        number = len(utterance.segments)
        utterance.segments.append(_Segment())
        self._state.do(StartUtterance(utterance.item_id, start, *self._stt_choice(), number))

    def end_segment(self, end: int) -> None:
        """Have the words of the open turn up to that tick as soon as possible, though it may go on."""
        utterance = self.open
        if utterance is not None and utterance.segments and not utterance.segments[-1].ended:
            utterance.segments[-1].ended = True
            self._state.do(EndSegment(utterance.item_id, len(utterance.segments) - 1, end))

    @property
    def segment_ended(self) -> bool:
        """Whether audio that comes now would not be transcribed."""
        return self.open is not None and bool(self.open.segments) and self.open.segments[-1].ended

    def reveal(self) -> None:
        """The client knows the open turn from now on."""
        assert self.open is not None
        self.open.announced = self.open.live = True
        self._release(self.open)

    def commit(self, utterance: Utterance, end: int) -> None:
        """The turn is complete, and its item known to the client."""
        self._state.do(EndUtterance(utterance.item_id, utterance.start, end))
        utterance.end = end
        utterance.live = True
        self.open = None
        if utterance.transcribed:
            self._pending[utterance.item_id] = utterance
        for segment in utterance.segments:
            segment.ended = True
        self._release(utterance)

    def settle(self, item_id: str) -> str | None:
        """The text of a committed turn whose words were all known before its end, once; else None."""
        utterance = self._pending.get(item_id)
        if utterance is None or not utterance.complete:
            return None
        return self._complete(utterance)

    def abandon(self) -> None:
        """Nobody wants the open turn any more."""
        if self.open is not None:
            self._state.do(DropUtterance(self.open.item_id))
            self.open = None

    def _release(self, utterance: Utterance) -> None:
        held, utterance.held = utterance.held, []
        for event in held:
            self._state.emit(event)

    def _stt_choice(self) -> tuple[str, SttOptions]:
        """Model and hints for the next transcription."""
        config = self._state.config
        asked = extensions_of(config.provider_data).stt
        prompt, hints = spelled(asked, "prompt"), tuple(spelled(asked, "language_hints") or ())
        heard = config.audio.input.transcription
        if heard is None:
            return self._state.default_stt, SttOptions(prompt=prompt, languages=hints, settings=asked)
        return heard.model, SttOptions(
            language=heard.language,
            prompt=heard.prompt or prompt,
            languages=heard.languages or (() if heard.language else hints),
            keywords=heard.keywords or (),
            delay=heard.delay,
            logprobs=LOGPROBS in (config.include or ()),
            settings=asked,
        )

    @property
    def _wants_voice_profile(self) -> bool:
        wanted = spelled(extensions_of(self._state.config.provider_data).stt, "voice_profile")
        return wanted.get("enabled") is not False if isinstance(wanted, Mapping) else wanted is True

    # --- recordings inside items ----------------------------------------------------------------------

    def check_clips(self, items: Iterable[Item | ItemReference]) -> None:
        """Raise `InvalidRequest` where the recordings inside these items are too many to transcribe."""
        messages = [item for item in items if isinstance(item, MessageItem)]
        self.check_room(sum(isinstance(part, InputAudio) for item in messages for part in item.content))

    def clip_arrived(self, item: MessageItem) -> MessageItem:
        """Have the recordings inside an item transcribed, and return the item without their audio.

        A transcript that came with a recording is taken for its text.
        """
        content: list[ContentPart] = []
        for index, part in enumerate(item.content):
            if isinstance(part, InputAudio):
                if part.pcm:
                    self._state.do(KeepClip(item.id, index, part.pcm))
                if part.pcm and not part.transcript:
                    self._clips.add((item.id, index))
                    self._state.do(TranscribeClip(item.id, index, part.pcm, *self._stt_choice()))
                part = InputAudio(transcript=part.transcript)
            content.append(part)
        return MessageItem(item.id, item.role, tuple(content), item.status)

    def item_deleted(self, item_id: str) -> None:
        """Nobody waits for transcripts of a deleted item."""
        self._pending.pop(item_id, None)
        self._clips = {clip for clip in self._clips if clip[0] != item_id}

    # --- what the transcription says ------------------------------------------------------------------

    def grew(self, fact: TranscriptGrew) -> None:
        if found := self._find(fact.item_id, fact.segment):
            utterance, segment = found
            self._send_delta(utterance, fact.segment, segment, fact.text, fact.logprobs)

    def guessed(self, fact: TranscriptGuessed) -> None:
        if found := self._find(fact.item_id, fact.segment):
            found[1].guess = fact.text

    def end_of_turn(self, fact: EndOfTurnHeard) -> None:
        if found := self._find(fact.item_id, fact.segment):
            found[1].opinion = fact.probability

    def speaker_heard(self, fact: SpeakerHeard) -> None:
        if found := self._find(fact.item_id, 0):
            self._tell(found[0], TranscriptionSegment(fact.item_id, fact.segment))

    def ready(self, fact: TranscriptReady) -> str | None:
        """Store a transcript; the text of the whole part once nothing of it is missing any more."""
        if (fact.item_id, fact.content_index) in self._clips:
            self._clips.discard((fact.item_id, fact.content_index))
            self._state.conversation.set_transcript(fact.item_id, fact.content_index, fact.text)
            return fact.text
        found = self._find(fact.item_id, fact.segment) if fact.content_index == 0 else None
        if found is None:
            return None
        utterance, segment = found
        known = segment.sent + "".join(text for text, _ in segment.unsent)
        if fact.text.startswith(known):
            self._send_delta(utterance, fact.segment, segment, fact.text[len(known) :])
        segment.final = fact
        self._send_waiting(utterance, fact.segment + 1)
        if utterance.item_id in self._pending and utterance.complete:
            return self._complete(utterance)
        return None

    def broke(self, fact: TranscriptionBroke) -> bool:
        """Report a failure; False when nobody waits for that transcript, or it is not committed yet."""
        if (fact.item_id, fact.content_index) in self._clips:
            self._clips.discard((fact.item_id, fact.content_index))
            return True
        if self.open is not None and self.open.item_id == fact.item_id:
            self.open.broken = fact
            return False
        utterance = self._pending.pop(fact.item_id, None) if fact.content_index == 0 else None
        if utterance is None:
            return False
        self._tell(utterance, TranscriptionFailed(fact.item_id, fact.code, fact.message))
        return True

    def take_broken(self, item_id: str) -> TranscriptionBroke | None:
        """The failure that came before the commit of that item, once."""
        utterance = self._pending.get(item_id)
        if utterance is None or utterance.broken is None:
            return None
        broken, utterance.broken = utterance.broken, None
        return broken

    def _complete(self, utterance: Utterance) -> str:
        del self._pending[utterance.item_id]
        finals = [segment.final for segment in utterance.segments if segment.final is not None]
        text = _joined(final.text for final in finals)
        self._state.conversation.set_transcript(utterance.item_id, 0, text)
        languages = [code for final in finals for code in final.languages or ()]
        known = any(final.languages is not None for final in finals)
        profiles = [final.voice_profile for final in finals if final.voice_profile is not None]
        completed = TranscriptionCompleted(
            utterance.item_id,
            text,
            utterance.seconds,
            tuple(token for final in finals for token in final.logprobs),
            tuple(dict.fromkeys(languages)) if known else None,
            _total([final.usage for final in finals]),
            profiles[-1] if profiles and self._wants_voice_profile else None,
        )
        self._tell(utterance, completed)
        return text

    def _find(self, item_id: str, number: int) -> tuple[Utterance, _Segment] | None:
        is_open = self.open is not None and self.open.item_id == item_id
        utterance = self.open if is_open else self._pending.get(item_id)
        if utterance is None or number >= len(utterance.segments):
            return None
        return utterance, utterance.segments[number]

    def _send_delta(
        self,
        utterance: Utterance,
        number: int,
        segment: _Segment,
        text: str,
        logprobs: tuple[TokenLogprob, ...] = (),
    ) -> None:
        if not text:
            return
        if any(before.final is None for before in utterance.segments[:number]):
            segment.unsent.append((text, logprobs))
            return
        follows = not segment.sent and any(before.sent for before in utterance.segments[:number])
        segment.sent += text
        delta = " " + text.lstrip() if follows else text
        self._tell(utterance, TranscriptionDelta(utterance.item_id, delta, logprobs))

    def _send_waiting(self, utterance: Utterance, first: int) -> None:
        for number, segment in enumerate(utterance.segments[first:], first):
            waiting, segment.unsent = segment.unsent, []
            for text, logprobs in waiting:
                self._send_delta(utterance, number, segment, text, logprobs)

    def _tell(self, utterance: Utterance, event: Event) -> None:
        """Give a client that wants transcripts a piece of one, once it can know what that belongs to."""
        if utterance.visible and utterance.live:
            self._state.emit(event)
        elif utterance.visible:
            utterance.held.append(event)


def _joined(texts: Iterable[str]) -> str:
    return " ".join(text for text in texts if text)


def _total(usages: list[SttUsage | None]) -> SttUsage | None:
    """The tokens of all segments; None where they are counted in seconds."""
    counted = [usage for usage in usages if usage is not None]
    if not counted:
        return None
    return SttUsage(
        input_tokens=sum(usage.input_tokens for usage in counted),
        output_tokens=sum(usage.output_tokens for usage in counted),
        text_tokens=sum(usage.text_tokens for usage in counted),
        audio_tokens=sum(usage.audio_tokens for usage in counted),
    )
