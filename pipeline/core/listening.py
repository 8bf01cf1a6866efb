"""The listening half of a session: the input buffer, and the turns found in it.

The audio itself is elsewhere; here it is only positions, in ticks of 1/16000 s since the session began.

    received ──────────────────────────────────────► end
                     │ buffer_start                 │
                     ├─────────── uncommitted ──────┤
                          │ utterance.start
                          ├── being transcribed ────┤

With turn detection the utterance opens when speech begins; without, at the first audio after a commit.
"""

from collections import deque

from pipeline.commands import AudioAppended, EchoJudged, FrameScored, TurnJudged
from pipeline.config import TurnDetection
from pipeline.core.interruptions import Guard
from pipeline.core.pauses import Pauses
from pipeline.core.state import State
from pipeline.core.transcripts import Transcripts
from pipeline.core.turns import SpeechBegan, SpeechEnded, TurnDetector, windows
from pipeline.effects import DropAudio
from pipeline.errors import InvalidRequest
from pipeline.events import (
    BufferCleared,
    BufferCommitted,
    IdleTimeout,
    ItemAdded,
    ItemDone,
    SpeechStarted,
    SpeechStopped,
)
from pipeline.items import InputAudio, MessageItem
from pipeline.ticks import TICK_RATE, TICKS_PER_MS

__all__ = ["Listener"]

_MIN_COMMIT_MS = 100  # as on the wire

# With turn detection on, this much audio without speech is kept for a client that commits by hand; older
# audio goes, or a silent microphone would fill the memory.
_IDLE_KEPT = 5 * TICK_RATE
_DROP_STEP = TICK_RATE  # drop in steps of a second, not at every append

Border = SpeechBegan | SpeechEnded


class Listener:
    def __init__(self, state: State, transcripts: Transcripts) -> None:
        self._state = state
        self._transcripts = transcripts
        self._detector = TurnDetector()
        self._pauses = Pauses(state, transcripts)
        self._guard = Guard(state)
        self._end = 0
        self._judged = 0  # how far the detector has come
        self._buffer_start = 0
        self._unclaimed = 0  # audio up to here came while turn detection was off, and nobody has committed it
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
    def hears_speech(self) -> bool:
        """Whether a turn is being spoken."""
        return self._transcripts.open is not None and self._guard.began is None

    @property
    def draft(self) -> tuple[str, str] | None:
        """The item and the words of a turn that has probably ended, once all of them are known."""
        return self._pauses.draft if self._guard.began is None else None

    # --- audio ---------------------------------------------------------------------------------------

    def appended(self, fact: AudioAppended) -> None:
        self._end = fact.end
        if self._transcripts.open is None and self._state.config.audio.input.turn_detection is None:
            self._open(self._buffer_start)

    def judge(self, frame: FrameScored) -> Border | None:
        """Take the verdict on one frame; return the border of speech that it reveals."""
        while len(self._detections) > 1 and self._detections[1][0] <= frame.start:
            self._detections.popleft()
        detection = self.detection
        if detection is None or frame.end <= self._buffer_start:
            return None  # switched off, committed or cleared while the frame was being judged
        self._judged = frame.end
        began = self._detector.feed(frame.start, frame.end, frame.probability, windows(detection).threshold)
        if began is not None:
            if not self._guard.stands_by:
                return began
            self._guard.begin(began.at)
        if self._guard.began is not None:
            self._guard.hear(frame.start, frame.end, speech=self._detector.silent_since is None)
        if self._transcripts.open is None:
            # Audio is let go as it is judged, not as it arrives: a client may send faster than real time.
            kept = max(_IDLE_KEPT, windows(detection).prefix + _DROP_STEP)
            needed = frame.end if self._guard.began is None else self._guard.began
            if needed - self._buffer_start > kept + _DROP_STEP:
                self._drop_before(needed - kept)
        return self.reconsider()

    def turn_judged(self, fact: TurnJudged) -> Border | None:
        self._pauses.judged(fact.item_id, fact.position, fact.probability, fact.inference_ms)
        return self.reconsider()

    def echo_judged(self, fact: EchoJudged) -> Border | None:
        self._guard.compared(fact.start, fact.end, fact.is_echo)
        return self.reconsider()

    def reconsider(self) -> Border | None:
        """The border of speech that follows from what is known by now."""
        detection = self.detection
        if detection is None:
            return None
        if self._guard.began is not None:
            return self._weigh(self._guard.began)
        utterance = self._transcripts.open
        if utterance is None or not self._detector.speaking:
            return None
        if self._judged - utterance.start >= self._state.limits.max_buffer_seconds * TICK_RATE:
            self._detector.reset()
            return SpeechEnded(self._judged)
        since = self._detector.silent_since
        if since is None:
            self._pauses.resumed(self._judged, detection)
            return None
        wait, decided_at = self._pauses.look(since, self._judged, detection)
        return self._detector.end_after(wait, self._judged, decided_at)

    def _weigh(self, began: int) -> SpeechBegan | None:
        """Whether the sound that began at that tick, while the assistant is heard, interrupts it."""
        utterance = self._transcripts.open
        text = utterance.text if utterance is not None else None
        complete = utterance is not None and utterance.complete
        silent_since = self._detector.silent_since
        verdict = self._guard.weigh(silent_since, text, complete=complete)
        if utterance is not None and utterance.broken is not None:
            verdict = "admit"
        match verdict:
            case "admit":
                began = self._guard.began or began
                self._guard.drop()
                return SpeechBegan(began)
            case "dismiss":
                self._detector.reset()
                self._transcripts.abandon()
            case "transcribe" | "finish":
                if utterance is None:
                    self._open(self._padded(began))
                elif verdict == "transcribe" and self._transcripts.segment_ended:
                    self._transcripts.start_segment(self._judged)
                if verdict == "finish":
                    self._transcripts.end_segment(self._judged)
        return None

    def speech_began(self, at: int) -> None:
        if self._unclaimed > self._buffer_start:
            at = min(at, self._buffer_start)
        start = self._padded(at)
        self._drop_before(start)
        if self._transcripts.open is None:
            self._open(start, announced=True)
        else:  # it was transcribed to find out whether it is an interruption
            item_id, start = self._transcripts.open.item_id, self._transcripts.open.start
            self._state.emit(SpeechStarted(item_id, start // TICKS_PER_MS))
            self._transcripts.reveal()

    def speech_ended(self, at: int) -> str:
        """Commit the turn that ended at that tick; return its item's id."""
        utterance = self._transcripts.open
        assert utterance is not None
        self._state.emit(SpeechStopped(utterance.item_id, at // TICKS_PER_MS))
        self._commit(min(at, self._end))
        return utterance.item_id

    def _padded(self, at: int) -> int:
        detection = self.detection
        assert detection is not None
        return max(self._buffer_start, at - windows(detection).prefix)

    # --- what the client does ------------------------------------------------------------------------

    def commit(self) -> str:
        """The client's own commit: return the item's id, or raise `InvalidRequest` for too little audio."""
        utterance = self._transcripts.open if self._guard.began is None else None
        start = self._buffer_start if utterance is None else utterance.start
        present = (self._end - start) / TICKS_PER_MS
        if present < _MIN_COMMIT_MS:
            raise InvalidRequest(
                "Error committing input audio buffer: the buffer is too small. "
                f"Expected at least {_MIN_COMMIT_MS}ms of audio, "
                f"but the buffer only has {present:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        self._transcripts.check_room(1)
        if utterance is None:
            self._transcripts.abandon()  # of a sound that might have been an interruption
            self._open(start)
        else:
            # Audio that came behind the words which are known already belongs to the turn as well.
            self._pauses.resumed(self._end, None)
        self._reset()
        return self._commit(self._end)

    def clear(self) -> None:
        self._transcripts.abandon()
        self._reset()
        self._drop_before(self._end)
        self._state.emit(BufferCleared())

    def idle_timeout(self, silent_seconds: float) -> str:
        """Commit the silence since the assistant was last heard; return the item's id."""
        start = max(self._buffer_start, self._end - round(silent_seconds * TICK_RATE))
        item_id = self._state.new_id("item")
        self._state.emit(IdleTimeout(item_id, start // TICKS_PER_MS, self._end // TICKS_PER_MS))
        self._reset()
        self._add(MessageItem(item_id, "user", (InputAudio(""),)))
        self._drop_before(self._end)
        return item_id

    def turn_detection_changed(self) -> None:
        """Take the configured turn detection for the audio that is still to come. No audio is lost."""
        detection = self._state.config.audio.input.turn_detection
        if detection is None:
            # In mid-speech, the utterance goes on until the client commits it.
            self._pauses.resumed(self._judged, self.detection)
            self._reset()
            self._detections.clear()
            return
        if not self._detections:
            self._reset()
            utterance = self._transcripts.open
            if utterance is not None and utterance.announced:
                self._detector.resume()  # the client was told of its beginning, and will be told of its end
            else:
                # What was being transcribed for a commit by hand goes back to being plain buffered audio.
                # The next turn begins with it.
                self._transcripts.abandon()
                self._unclaimed = self._end
        if self._detections and self._detections[-1][0] == self._end:
            self._detections.pop()  # no audio came between the two updates
        self._detections.append((self._end, detection))

    # --- the buffer ----------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._detector.reset()
        self._pauses.drop()
        self._guard.drop()

    def _open(self, start: int, *, announced: bool = False) -> None:
        utterance = self._transcripts.begin(start, announced=announced)
        if announced:
            self._state.emit(SpeechStarted(utterance.item_id, start // TICKS_PER_MS))
        self._transcripts.start_segment(start)

    def _commit(self, end: int) -> str:
        utterance = self._transcripts.open
        assert utterance is not None
        self._pauses.ended()
        self._add(MessageItem(utterance.item_id, "user", (InputAudio(),)))
        self._transcripts.commit(utterance, end)
        self._drop_before(end)
        return utterance.item_id

    def _add(self, item: MessageItem) -> None:
        state = self._state
        previous = state.conversation.insert(item)
        state.emit(BufferCommitted(item.id, previous))
        state.emit(ItemAdded(item, previous))
        state.emit(ItemDone(item, previous))

    def _drop_before(self, position: int) -> None:
        if position > self._buffer_start:
            self._buffer_start = position
            self._state.do(DropAudio(position))
