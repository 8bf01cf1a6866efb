"""When a wait is filled: which response waits, since when, and whether another filler is allowed.

    announced ──► model asked ──► due ──► phrase is found ──► said ──► due again ...
        └─────────────┴────────────┴───────────┴───────────────┴──► something of the reply: no more

Pure: times are seconds on any one clock, and come with each call.
"""

from dataclasses import dataclass

from pipeline.extensions import Filler

__all__ = ["FillerRules"]

_CLOCK_STEP_S = 0.005  # timers may ring a little early
_AGAIN_S = 2.0  # between two phrases in one wait, whatever the settings: the first is being said for so long


@dataclass(slots=True)
class _Wait:
    response_id: str
    since: float  # that the listener hears nothing
    model_asked: bool = False  # before that, the response may yet turn out to have nothing to answer
    finding: bool = False  # a phrase is on its way


class FillerRules:
    """At most one response writes to the conversation, so at most one wait is watched."""

    def __init__(self) -> None:
        self._settings = Filler()
        self._wait: _Wait | None = None
        self._last: float | None = None  # when a filler was said
        self._count = 0  # of those of this turn
        self._is_awaited = True  # whether somebody has said something and expects an answer

    def configure(self, settings: Filler) -> None:
        self._settings = settings
        if not settings.enabled:
            self._wait = None

    def turn_began(self, *, is_silence: bool = False) -> None:
        """The user has said something new, or nothing for so long that the assistant will."""
        self._count, self._is_awaited = 0, not is_silence

    def announced(self, response_id: str, now: float, *, is_first_reply: bool) -> None:
        """A response that speaks, in the conversation, begins."""
        self._wait = None
        may_begin = not is_first_reply or self._settings.enable_filler_on_first_assistant_reply
        if self._is_awaited and may_begin:
            self._wait = _Wait(response_id, now)

    def model_asked(self, response_id: str) -> None:
        if (wait := self._waiting(response_id)) is not None:
            wait.model_asked = True

    def over(self, response_id: str) -> None:
        """Something of the reply came, or nothing will come any more."""
        if self._waiting(response_id) is not None:
            self._wait = None

    @property
    def finding(self) -> bool:
        """Whether somebody waits for a phrase that is being looked for."""
        return self._wait is not None and self._wait.finding

    @property
    def due(self) -> float | None:
        """When a phrase is to be found; None: not as things are."""
        wait, settings = self._wait, self._settings
        if wait is None or not wait.model_asked or wait.finding:
            return None
        if self._count >= settings.max_initial_per_turn:
            return None
        due = wait.since + settings.initial_wait_timeout_ms / 1000
        if self._last is not None:
            due = max(due, self._last + settings.min_filler_gap_ms / 1000)
            if wait.since == self._last:
                due = max(due, self._last + _AGAIN_S)
        return due

    def take(self, now: float) -> str | None:
        """The response for which a phrase is to be found now; it is not due again until it was said."""
        due, wait = self.due, self._wait
        if due is None or wait is None or now < due - _CLOCK_STEP_S:
            return None
        wait.finding = True
        return wait.response_id

    def say(self, response_id: str, now: float) -> bool:
        """A phrase was found: whether it is still wanted, and if so, it counts as said."""
        wait = self._waiting(response_id)
        if wait is None:
            return False
        wait.finding, wait.since = False, now
        self._last = now
        self._count += 1
        return True

    def _waiting(self, response_id: str) -> _Wait | None:
        wait = self._wait
        return wait if wait is not None and wait.response_id == response_id else None
