"""When a listener may make a sound: while the user talks, not too soon or too often, and never into a reply.

Time within turns is counted in ticks (1/16000 s) of audio that was judged, so that the same audio always
gives the same moments. Only speech of the assistant lasts on the wall clock, in seconds.
"""

import re
from collections.abc import Sequence

from pipeline.core.turns import TurnDetector
from pipeline.extensions import Backchannel
from pipeline.stages.phrases import one_line
from pipeline.ticks import TICKS_PER_MS

__all__ = ["BackchannelRules", "phrase_in"]

_PAUSE = 200 * TICKS_PER_MS  # from here on a silence is a pause, where one is required
_END = 500 * TICKS_PER_MS  # after such a silence a speaker has more often finished than not

_MAX_WORDS = 3  # of a phrase that a model made up
_MAX_CHARS = 24
_NOTHING = frozenset({"none", "nothing", "no", "null", "silence", "silent", "skip", "na", "n/a"})
_EDGES = re.compile(r"^\W+|\W+$")


class BackchannelRules:
    """Told of frames, turns and replies; says when to decide about a sound."""

    def __init__(self) -> None:
        self._settings = Backchannel()
        self._threshold = 0.5
        self._detector = TurnDetector()
        self._at = 0  # tick up to which audio was judged
        self._opened: int | None = None  # tick at which the turn that is being spoken began
        self._is_new = True  # nothing was heard yet, so a turn may have been open before that
        self._judged: int | None = None  # tick of the last decision
        self._last: int | None = None  # tick of the last sound
        self._count = 0  # sounds in this turn
        self._deciding = False
        self._probably_over = False
        self._replies: set[str] = set()  # responses that run and speak
        self._heard_until = 0.0  # seconds: the end of what the client has to play

    def configure(self, settings: Backchannel, threshold: float) -> None:
        """`threshold`: the probability from which on a frame is speech."""
        if settings.enabled and not self._settings.enabled:
            self._detector.reset()
            self._replies.clear()
            self._opened, self._is_new = None, True
            self._count, self._deciding, self._probably_over = 0, False, False
        self._settings, self._threshold = settings, threshold

    # --- the user's turn ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the user has the turn."""
        return self._opened is not None

    def turn_opened(self) -> None:
        self._open(self._at)

    def turn_closed(self) -> None:
        """It is over, or given up; whatever was being decided for it is void."""
        self._opened, self._is_new = None, False
        self._deciding = self._probably_over = False

    def probably_over(self, over: bool) -> None:
        """Whether the speaker seems to have finished, so that the next to be heard is a reply."""
        self._probably_over = over

    def frame(self, start: int, end: int, probability: float, now: float) -> bool:
        """One frame was judged: whether it is time to decide about a sound. Ends with `decided`."""
        self._at = end
        self._detector.feed(start, end, probability, self._threshold)
        if self._is_new and self._detector.speaking:
            self._open(start)
        if not self._is_time() or self.assistant_speaks(now):
            return False
        self._judged, self._deciding = end, True
        return True

    def decided(self, *, sounded: bool, rest: bool = False) -> None:
        """A sound was made or was not; `rest`: the next is to wait as if one had been made."""
        self._deciding = False
        if sounded:
            self._count += 1
        if sounded or rest:
            self._last = self._at

    def _open(self, at: int) -> None:
        self._opened, self._is_new, self._judged = at, False, None
        self._count, self._deciding, self._probably_over = 0, False, False

    def _is_time(self) -> bool:
        settings, at = self._settings, self._at
        if not settings.enabled or self._opened is None or self._deciding or self._probably_over:
            return False
        if self._count >= settings.max_per_turn:
            return False
        if at - self._opened < settings.min_speech_ms * TICKS_PER_MS:
            return False
        if self._last is not None and at - self._last < settings.min_gap_ms * TICKS_PER_MS:
            return False
        if self._judged is not None and at - self._judged < settings.eval_interval_ms * TICKS_PER_MS:
            return False
        since = self._detector.silent_since
        silence = 0 if since is None else at - since
        return (_PAUSE if settings.require_pause else 0) <= silence < _END

    # --- the assistant --------------------------------------------------------------------------------

    def reply_began(self, response_id: str) -> None:
        self._replies.add(response_id)

    def reply_over(self, response_id: str) -> None:
        self._replies.discard(response_id)

    def sent(self, seconds: float, now: float) -> None:
        """So much speech more was sent; the client plays one piece after the other."""
        self._heard_until = max(self._heard_until, now) + seconds

    def playback_stopped(self, now: float) -> None:
        self._heard_until = min(self._heard_until, now)

    def assistant_speaks(self, now: float) -> bool:
        return bool(self._replies) or now < self._heard_until


def phrase_in(answer: str, phrases: Sequence[str], *, only: bool) -> str | None:
    """The phrase that a model chose, in the spelling of `phrases`; None where it wants nothing said.

    `only`: nothing else will do. Otherwise a phrase of its own may have three words.
    """
    line = one_line(answer)
    word = _EDGES.sub("", line).casefold()
    for phrase in phrases:
        if _EDGES.sub("", phrase).casefold() == word:
            return phrase
    made_up = _EDGES.sub("", line)
    fits = 0 < len(made_up) <= _MAX_CHARS and len(made_up.split()) <= _MAX_WORDS and word not in _NOTHING
    return made_up if fits and not only else None
