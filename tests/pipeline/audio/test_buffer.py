"""The input buffer: slices by place in time, whatever was dropped and however the rate changed."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pipeline.audio.buffer import InputBuffer
from pipeline.ticks import TICK_RATE
from tests.chance import examples

RATES = (8_000, 16_000, 24_000, 44_100, 48_000)


def ramp(first: int, count: int) -> bytes:
    """Samples that say which they are."""
    return (np.arange(first, first + count) % 30_000).astype("<i2").tobytes()


class BufferModel(RuleBasedStateMachine):
    """Against a model that keeps every sample; the rate stays the same."""

    @initialize(rate=st.sampled_from(RATES))
    def begin(self, rate: int) -> None:
        self.buffer, self.rate = InputBuffer(rate), rate
        self.count = self.dropped = 0
        self.read_to, self.read = 0, b""

    def sample(self, tick: int) -> int:
        return tick * self.rate // TICK_RATE

    @rule(count=st.one_of(st.integers(0, 4), st.integers(0, 1000)))
    def append(self, count: int) -> None:
        self.buffer.append(ramp(self.count, count))
        self.count += count

    @rule(tick=st.integers(0, 3000))
    def drop(self, tick: int) -> None:
        self.buffer.drop(tick)
        self.dropped = max(self.dropped, min(self.sample(tick), self.count))

    @rule(start=st.integers(0, 3000), length=st.integers(0, 3000))
    def slice(self, start: int, length: int) -> None:
        first, last = self.sample(start), min(self.sample(start + length), self.count)
        first = max(first, self.dropped)

        assert self.buffer.slice(start, start + length) == ramp(first, max(0, last - first))

    @rule(start=st.integers(0, 3000))
    def slice_to_the_end(self, start: int) -> None:
        first = max(self.sample(start), self.dropped)

        assert self.buffer.slice(start) == ramp(first, max(0, self.count - first))

    @invariant()
    def the_end_is_where_the_last_sample_ends(self) -> None:
        if hasattr(self, "buffer"):
            assert self.buffer.end == self.count * TICK_RATE // self.rate


class ReaderModel(RuleBasedStateMachine):
    """A reader that follows the buffer tick by tick gets every sample once."""

    @initialize(rate=st.sampled_from(RATES))
    def begin(self, rate: int) -> None:
        self.buffer, self.count, self.place, self.read = InputBuffer(rate), 0, 0, b""

    @rule(count=st.integers(0, 50))
    def append_and_read(self, count: int) -> None:
        self.buffer.append(ramp(self.count, count))
        self.count += count
        self.read += self.buffer.slice(self.place, self.buffer.end)
        self.place = self.buffer.end

    def teardown(self) -> None:
        if hasattr(self, "buffer"):
            assert self.read + self.buffer.slice(self.place) == ramp(0, self.count)


TestBufferModel = BufferModel.TestCase
TestBufferModel.settings = examples(60, steps=20)
TestReaderModel = ReaderModel.TestCase
TestReaderModel.settings = examples(40, steps=20)


def test_positions_go_on_when_the_rate_changes() -> None:
    buffer = InputBuffer(16_000)
    buffer.append(bytes(2 * 16_000))

    buffer.change_rate(24_000)
    assert buffer.end == TICK_RATE
    buffer.append(ramp(0, 24_000))

    assert buffer.end == 2 * TICK_RATE
    assert buffer.slice(TICK_RATE, 2 * TICK_RATE) == ramp(0, 24_000)
    assert len(buffer.slice(0, TICK_RATE)) == 2 * 24_000  # what was there before, at the new rate
    assert len(buffer.slice(TICK_RATE // 2)) == 2 * 36_000


def test_old_audio_can_be_dropped_after_a_change_of_rate() -> None:
    buffer = InputBuffer(48_000)
    buffer.append(bytes(2 * 48_000))
    buffer.change_rate(8_000)
    buffer.append(ramp(1, 80))

    buffer.drop(TICK_RATE)

    assert buffer.slice(0) == ramp(1, 80)


def test_the_same_rate_again_is_no_change() -> None:
    buffer = InputBuffer(16_000)
    buffer.append(ramp(0, 100))

    buffer.change_rate(16_000)

    assert buffer.slice(0, 100) == ramp(0, 100)
