"""How a server goes about turns, beyond what a session can set for itself."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Speculation", "TurnTaking"]

Speculation = Literal["off", "auto", "always"]


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """The same for all sessions of a process."""

    # Whether a reply is prepared before the turn is sure to be over: never, when the speaker seems to have
    # finished, or in every pause.
    speculation: Speculation = "auto"
    # Speech that shall interrupt the assistant has to last so long; coughs and clicks do not.
    min_interruption_ms: int = 200
    echo_guard: bool = True  # the assistant's own words, coming back by the microphone, do not interrupt it
    ignore_backchannels: bool = False  # "mhm" and "yeah" do not interrupt the assistant
    suggestion_events: bool = False  # every session gets turn_suggestion events, not only those that ask
    has_turn_model: bool = False  # whether `JudgeTurn` will be answered with more than None
