"""The listening half of a session: the input buffer, turns found in it, and their transcripts.

The audio itself is elsewhere; here it is only positions, in ticks of 1/16000 s since the session began.

    received ──────────────────────────────────────► end
                     │ buffer_start                 │
                     ├─────────── uncommitted ──────┤
                          │ utterance.start
                          ├── being transcribed ────┤

With turn detection the utterance opens when speech begins; without, at the first audio after a commit.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.commands import (
    AudioAppended,
    FrameScored,
    SpeakerHeard,
    TranscriptGrew,
    TranscriptionBroke,
    TranscriptReady,
)
from pipeline.config import LOGPROBS, TurnDetection
from pipeline.core.state import State
from pipeline.core.turns import (
    SpeechBegan,
    SpeechEnded,
    TurnDetector,
    windows,
)
from pipeline.effects import DropAudio, DropUtterance, EndUtterance, KeepClip, StartUtterance, TranscribeClip
from pipeline.errors import InvalidRequest
from pipeline.events import (
    BufferCleared,
    BufferCommitted,
    Event,
    ItemAdded,
    ItemDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TranscriptionDelta,
    TranscriptionFailed,
    TranscriptionSegment,
)
from pipeline.items import ContentPart, InputAudio, Item, ItemReference, MessageItem
from pipeline.ticks import TICK_RATE, TICKS_PER_MS
from providers.contracts import SttOptions, TokenLogprob

__all__ = ["Listener"]

_MIN_COMMIT_MS = 100  # as on the wire

# With turn detection on, this much audio without speech is kept for a client that commits by hand; older
# audio goes, or a silent microphone would fill the memory.
_IDLE_KEPT = 5 * TICK_RATE
_DROP_STEP = TICK_RATE  # drop in steps of a second, not at every append


@dataclass(slots=True)
class _Utterance:
    """One stretch of speech on its way to a transcript."""

    item_id: str
    start: int
    transcribed: bool  # whether anybody wants its text
    visible: bool  # whether the client gets transcription events
    # Whether deltas go out at once: the client knows the item's id, by speech_started or by the commit, or
    # it is here for nothing but transcripts.
    live: bool
    end: int | None = None  # None until it is committed
    sent: str = ""  # joined deltas so far
    held: list[Event] = field(default_factory=list)  # what waits for the commit
    broken: TranscriptionBroke | None = None  # failed before the commit

    @property
    def seconds(self) -> float:
        return 0.0 if self.end is None else (self.end - self.start) / TICK_RATE


class Listener:
    def __init__(self, state: State) -> None:
        self._state = state
        self._detector = TurnDetector()
        self._end = 0
        self._buffer_start = 0
        self._utterance: _Utterance | None = None  # the one that is being spoken
        self._pending: dict[str, _Utterance] = {}  # committed, transcript not there yet; by item id
        self._clips: set[tuple[str, int]] = set()  # recordings inside items, likewise
        # Which settings judge the audio from which tick on: audio that arrived before an update, but is not
        # judged yet, keeps the settings that it was sent under. Empty while turn detection is off.
        self._detections: deque[tuple[int, TurnDetection]] = deque()
        self.turn_detection_changed()

    @property
    def detection(self) -> TurnDetection | None:
        """The settings that judged the last frame."""
        return self._detections[0][1] if self._detections else None

    @property
    def buffered(self) -> int:
        """Ticks of uncommitted audio."""
        return self._end - self._buffer_start

    @property
    def _transcribes(self) -> bool:
        """Whether speech is turned into text: for the language model, or for a client that reads it."""
        config = self._state.config
        return config.type == "realtime" or config.audio.input.transcription is not None

    @property
    def open_item(self) -> str | None:
        """The id that the turn being listened to will have once it is committed."""
        return self._utterance.item_id if self._utterance else None

    def is_pending(self, item_id: str, content_index: int) -> bool:
        """Whether the transcript of that part is still on its way."""
        return (item_id, content_index) in self._clips or (content_index == 0 and item_id in self._pending)

    # --- audio ---------------------------------------------------------------------------------------

    def appended(self, fact: AudioAppended) -> None:
        self._end = fact.end
        if self._utterance is None and self._state.config.audio.input.turn_detection is None:
            self._open(self._buffer_start, announced=False)

    def judge(self, frame: FrameScored) -> SpeechBegan | SpeechEnded | None:
        """Take the verdict on one frame; return the border of speech that it reveals."""
        while len(self._detections) > 1 and self._detections[1][0] <= frame.start:
            self._detections.popleft()
        detection = self.detection
        if detection is None or frame.end <= self._buffer_start:
            return None  # switched off, committed or cleared while the frame was being judged
        border = self._detector.feed(frame.start, frame.end, frame.probability, detection)
        # Audio is let go as it is judged, not as it arrives: a client may send faster than real time.
        kept = max(_IDLE_KEPT, windows(detection).prefix + _DROP_STEP)
        if self._utterance is None and frame.end - self._buffer_start > kept + _DROP_STEP:
            self._drop_before(frame.end - kept)
        if border is None and self._detector.speaking and self._utterance is not None:
            longest = self._state.limits.max_buffer_seconds * TICK_RATE
            if frame.end - self._utterance.start >= longest:
                self._detector.reset()
                return SpeechEnded(frame.end)
        return border

    def speech_began(self, at: int) -> None:
        detection = self.detection
        assert detection is not None
        start = max(self._buffer_start, at - windows(detection).prefix)
        self._drop_before(start)
        self._open(start, announced=True)

    def speech_ended(self, at: int) -> str:
        """Commit the turn that ended at that tick; return its item's id."""
        assert self._utterance is not None
        item_id = self._utterance.item_id
        end = min(at, self._end)
        self._state.emit(SpeechStopped(item_id, at // TICKS_PER_MS))
        self._commit(self._utterance, end)
        return item_id

    def commit(self) -> str:
        """The client's own commit: return the item's id, or raise `InvalidRequest` for too little audio."""
        start = self._buffer_start if self._utterance is None else self._utterance.start
        present = (self._end - start) / TICKS_PER_MS
        if present < _MIN_COMMIT_MS:
            raise InvalidRequest(
                "Error committing input audio buffer: the buffer is too small. "
                f"Expected at least {_MIN_COMMIT_MS}ms of audio, "
                f"but the buffer only has {present:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._check_pending(1)
        utterance = self._utterance or self._open(start, announced=False)
        self._detector.reset()
        self._commit(utterance, self._end)
        return utterance.item_id

    def clear(self) -> None:
        self._abandon_utterance()
        self._detector.reset()
        self._drop_before(self._end)
        self._state.emit(BufferCleared())

    def turn_detection_changed(self) -> None:
        """Take the configured turn detection for the audio that is still to come. No audio is lost."""
        detection = self._state.config.audio.input.turn_detection
        if detection is None:
            # In mid-speech, the utterance goes on until the client commits it.
            self._detector.reset()
            self._detections.clear()
            return
        if not self._detections:
            # What was being transcribed for a commit by hand goes back to being plain buffered audio.
            self._detector.reset()
            self._abandon_utterance()
        if self._detections and self._detections[-1][0] == self._end:
            self._detections.pop()  # no audio came between the two updates
        self._detections.append((self._end, detection))

    def _open(self, start: int, *, announced: bool) -> _Utterance:
        visible = self._state.config.audio.input.transcription is not None
        transcribed = self._transcribes
        live = announced or self._state.config.type == "transcription"
        utterance = _Utterance(self._state.new_id("item"), start, transcribed, visible, live)
        self._utterance = utterance
        if announced:
            self._state.emit(SpeechStarted(utterance.item_id, start // TICKS_PER_MS))
        if transcribed:
            self._state.do(StartUtterance(utterance.item_id, start, *self._stt_choice()))
        return utterance

    def _check_pending(self, more: int) -> None:
        """A client that has more and more transcripts made would have the others wait for theirs."""
        limit = self._state.limits.max_pending_transcripts
        if more and len(self._pending) + len(self._clips) + more > limit:
            raise InvalidRequest(
                f"More than {limit} recordings of this session would wait for their transcripts. "
                "Send more once some are done.",
                code="too_many_pending_transcripts",
            )

    def _stt_choice(self) -> tuple[str, SttOptions]:
        """Model and hints for the next transcription."""
        config = self._state.config
        heard = config.audio.input.transcription
        if heard is None:
            return self._state.default_stt, SttOptions()
        return heard.model, SttOptions(
            language=heard.language,
            prompt=heard.prompt,
            languages=heard.languages or (),
            keywords=heard.keywords or (),
            delay=heard.delay,
            logprobs=LOGPROBS in (config.include or ()),
        )

    def _commit(self, utterance: _Utterance, end: int) -> None:
        state = self._state
        item = MessageItem(utterance.item_id, "user", (InputAudio(),))
        previous = state.conversation.insert(item)
        state.emit(BufferCommitted(item.id, previous))
        state.emit(ItemAdded(item, previous))
        state.emit(ItemDone(item, previous))
        state.do(EndUtterance(item.id, utterance.start, end))
        utterance.end = end
        utterance.live = True
        self._utterance = None
        if utterance.transcribed:
            self._pending[item.id] = utterance
        self._drop_before(end)
        held, utterance.held = utterance.held, []
        for event in held:
            state.emit(event)

    def _abandon_utterance(self) -> None:
        if self._utterance is not None:
            self._state.do(DropUtterance(self._utterance.item_id))
            self._utterance = None

    def _drop_before(self, position: int) -> None:
        if position > self._buffer_start:
            self._buffer_start = position
            self._state.do(DropAudio(position))

    # --- transcripts ---------------------------------------------------------------------------------

    def check_clips(self, items: Iterable[Item | ItemReference]) -> None:
        """Raise `InvalidRequest` where the recordings inside these items are too many to transcribe."""
        messages = [item for item in items if isinstance(item, MessageItem)]
        self._check_pending(sum(isinstance(part, InputAudio) for item in messages for part in item.content))

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

    def transcript_grew(self, fact: TranscriptGrew) -> None:
        utterance = self._find(fact.item_id)
        if utterance is not None:
            self._send_delta(utterance, fact.text, fact.logprobs)

    def speaker_heard(self, fact: SpeakerHeard) -> None:
        utterance = self._find(fact.item_id)
        if utterance is not None:
            self._tell(utterance, TranscriptionSegment(fact.item_id, fact.segment))

    def transcript_ready(self, fact: TranscriptReady) -> bool:
        """Store a transcript; False when nobody waits for it any more."""
        state = self._state
        if (fact.item_id, fact.content_index) in self._clips:
            self._clips.discard((fact.item_id, fact.content_index))
            state.conversation.set_transcript(fact.item_id, fact.content_index, fact.text)
            return True
        utterance = self._pending.pop(fact.item_id, None) if fact.content_index == 0 else None
        if utterance is None:
            return False
        state.conversation.set_transcript(fact.item_id, 0, fact.text)
        if fact.text.startswith(utterance.sent):
            self._send_delta(utterance, fact.text[len(utterance.sent) :])
        completed = TranscriptionCompleted(
            fact.item_id, fact.text, utterance.seconds, fact.logprobs, fact.languages, fact.usage
        )
        self._tell(utterance, completed)
        return True

    def transcription_broke(self, fact: TranscriptionBroke) -> bool:
        """Report a failure; False when nobody waits for that transcript, or it is not committed yet."""
        if (fact.item_id, fact.content_index) in self._clips:
            self._clips.discard((fact.item_id, fact.content_index))
            return True
        if self._utterance is not None and self._utterance.item_id == fact.item_id:
            self._utterance.broken = fact
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

    def item_deleted(self, item_id: str) -> None:
        """Nobody waits for transcripts of a deleted item."""
        self._pending.pop(item_id, None)
        self._clips = {clip for clip in self._clips if clip[0] != item_id}

    def _find(self, item_id: str) -> _Utterance | None:
        if self._utterance is not None and self._utterance.item_id == item_id:
            return self._utterance
        return self._pending.get(item_id)

    def _send_delta(self, utterance: _Utterance, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> None:
        utterance.sent += text
        if text:
            self._tell(utterance, TranscriptionDelta(utterance.item_id, text, logprobs))

    def _tell(self, utterance: _Utterance, event: Event) -> None:
        """Give a client that wants transcripts a piece of one, once it can know what that belongs to."""
        if utterance.visible and utterance.live:
            self._state.emit(event)
        elif utterance.visible:
            utterance.held.append(event)
