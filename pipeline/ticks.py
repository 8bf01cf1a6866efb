"""The unit in which a session tells positions in its input audio."""

__all__ = ["TICKS_PER_MS", "TICK_RATE"]

# Ticks per second of input audio since the session's first sample, whatever rate the audio comes at. It is
# the usual rate of speech detectors, so that their frames begin and end on whole ticks.
TICK_RATE = 16_000
TICKS_PER_MS = TICK_RATE // 1000
