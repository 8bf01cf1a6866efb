"""One utterance being transcribed, as a state machine: audio in, inference jobs out, words back in.

The audio that is not settled yet is the *tail*. A job transcribes a piece from the tail's start:

- `partial`: what has been said so far; dropped when nothing has time for it.
- `window`: the tail has become longer than one inference should be, so it is cut at its quietest point and
  the words before the cut are settled. This bounds the work after the end of speech, whatever came before.
- `final`: the end has come. Where a partial already heard all the speech there is, no job is needed.

No threads, no event loop, no clock: time is counted in samples.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from providers.contracts import TokenLogprob
from providers.stt.agreement import Agreement
from providers.stt.moonshine_model import Hypothesis

__all__ = ["STEP", "Job", "Utterance"]

RATE = 16_000  # Hertz
FRAME = RATE // 50  # samples whose energy is looked at together: 20 ms

# Windows of 8 s would do as well in a long reading (7 to 11 % wrong words either way) at 40 % less work, but
# what is said in one breath is best heard in one go. 12 s take 250 ms.
MAX_WINDOW = 12 * RATE
MIN_WINDOW = 5 * RATE  # a cut before it would leave too little context
PAUSE = 160 * RATE // 1000  # quiet for so long, the speaker may be done: be ready with the answer
STEP = 1200 * RATE // 1000  # speech without a pause is looked at this often
MARGIN = 200 * RATE // 1000  # kept around the speech: the energy misses soft consonants

# Root mean square of a frame that counts as speech, in full scale: three times the quietest frames, within
# bounds. -54 dB is below the softest speech through a headset, -40 dB still above the hum of a fan.
SPEECH_OVER_NOISE, SPEECH_MIN, SPEECH_MAX = 3.0, 0.002, 0.01
SPEECH_FRAMES = 3  # in a row; a click is shorter
LOOK = 80 * RATE // 1000  # how much new audio is worth another look


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    kind: Literal["partial", "window", "final"]
    pcm: bytes  # without the silence around the speech
    until: int  # samples of the tail that the words will stand for
    known: Hypothesis | None = None  # the words, where they are known without inference


class Utterance:
    """Everything known about one utterance. `next_job` and `finished` alternate."""

    def __init__(self, step: int = STEP) -> None:
        """`step`: so many samples of speech without a pause are worth another look."""
        self._step = step
        self._tail = bytearray()
        # The mean square of each frame of the tail, and room for more.
        self._energies = np.zeros(1024, np.float32)
        self._frames = 0
        self._looked_at = 0  # how much of the tail there was when there was nothing to do
        self._settled: list[str] = []  # the words of the windows before the tail
        self._settled_logprobs: tuple[TokenLogprob, ...] = ()
        self._languages: dict[str, None] = {}  # of the windows, in their order
        self._heard = Hypothesis("")  # of the last partial
        self._heard_until = 0  # the samples of the tail that it stands for
        self._agreement = Agreement()

    def feed(self, pcm: bytes) -> None:
        """Append audio: whole samples."""
        self._tail += pcm
        new = len(self._tail) // 2 // FRAME - self._frames
        if self._frames + new > len(self._energies):
            self._energies = np.concatenate([self._energies, np.zeros(len(self._energies) + new, np.float32)])
        samples = np.frombuffer(self._tail, "<i2", count=new * FRAME, offset=2 * self._frames * FRAME)
        frames = samples.astype(np.float32).reshape(new, FRAME)
        self._energies[self._frames : self._frames + new] = np.einsum("ij,ij->i", frames, frames)
        self._energies[self._frames : self._frames + new] *= 1 / (FRAME * 32768**2)
        self._frames += new

    def next_job(self, *, ended: bool) -> Job | None:
        """The inference that is worth running now. After the end, None means that all words are known."""
        samples = len(self._tail) // 2
        if not ended and samples - self._looked_at < LOOK:
            return None
        if samples > MAX_WINDOW:
            return self._window(self._quietest_point())
        first, last = self._speech(samples)
        if last <= self._heard_until:
            self._looked_at = samples
            return None
        pause, new = samples - last >= PAUSE, last - max(first, self._heard_until)
        if not ended and not pause and new < self._step:
            self._looked_at = samples
            return None
        kind: Literal["partial", "final"] = "final" if ended else "partial"
        return Job(kind, self._cut_out(first, last, samples), min(samples, last + MARGIN))

    def covered(self, job: Job) -> bool:
        """Whether the words of `job` will be all the words there are, as far as the audio goes now."""
        samples = len(self._tail) // 2
        return samples <= MAX_WINDOW and self._speech(samples)[1] <= job.until

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """Of all the tokens so far, where the hypotheses had them."""
        return self._settled_logprobs + self._heard.logprobs

    @property
    def languages(self) -> tuple[str, ...] | None:
        """The languages of all windows, where the hypotheses had them."""
        return tuple({**self._languages, **self._language_of(self._heard)}) or None

    def finished(self, job: Job, heard: Hypothesis) -> str:
        """Take the words of a job, and return the text to append to what was given out before."""
        words = heard.text.split()
        if job.kind == "window":
            self._settled += words
            self._settled_logprobs += heard.logprobs
            self._languages |= self._language_of(heard)
            del self._tail[: 2 * job.until]
            gone = job.until // FRAME
            self._energies[: self._frames - gone] = self._energies[gone : self._frames]
            self._frames -= gone
            self._looked_at = 0
            self._heard, self._heard_until = Hypothesis(""), 0
            return self._agreement.hear(self._settled, len(self._settled))
        self._heard, self._heard_until = heard, job.until
        if job.kind == "final":
            return ""
        return self._agreement.hear(self._settled + words, len(self._settled))

    @property
    def text(self) -> str:
        """All that was heard so far, as it looks now."""
        return " ".join(self._settled + self._heard.text.split())

    def finish(self) -> tuple[str, str]:
        """The text to append and the text of the whole utterance, once `next_job` has nothing more to do."""
        return self._agreement.finish(self._settled + self._heard.text.split())

    def _language_of(self, heard: Hypothesis) -> dict[str, None]:
        return {heard.language: None} if heard.language and heard.text else {}

    def _window(self, cut: int) -> Job:
        first, last = self._speech(cut)
        if last <= first:
            return Job("window", b"", cut, known=Hypothesis(""))
        if last <= self._heard_until <= cut:
            return Job("window", b"", cut, known=self._heard)
        return Job("window", self._cut_out(first, last, cut), cut)

    def _cut_out(self, first: int, last: int, until: int) -> bytes:
        return bytes(self._tail[2 * max(0, first - MARGIN) : 2 * min(until, last + MARGIN)])

    def _speech(self, until: int) -> tuple[int, int]:
        """Where speech begins and ends in the first `until` samples of the tail; equal if there is none."""
        energies = self._energies[: min(self._frames, -(-until // FRAME))]
        if len(energies) < SPEECH_FRAMES:
            return 0, 0
        quiet = len(energies) // 10
        noise = float(np.partition(energies, quiet)[quiet])
        loud = energies > min(max(SPEECH_OVER_NOISE**2 * noise, SPEECH_MIN**2), SPEECH_MAX**2)
        run = loud[2:] & loud[1:-1] & loud[:-2]  # true where a run of SPEECH_FRAMES begins
        first = int(run.argmax())
        if not run[first]:
            return 0, 0
        last = len(run) - int(run[::-1].argmax()) - 1
        return first * FRAME, min(until, (last + SPEECH_FRAMES) * FRAME)

    def _quietest_point(self) -> int:
        """Where to cut a tail that has become too long: the middle of its quietest quarter of a second."""
        width = 13
        first, last = MIN_WINDOW // FRAME, MAX_WINDOW // FRAME
        sums = np.convolve(np.sqrt(self._energies[first:last]), np.ones(width), mode="valid")
        return (first + int(sums.argmin()) + width // 2) * FRAME
