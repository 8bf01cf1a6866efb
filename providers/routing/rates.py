"""Brings the audio of engines with different sample rates to the one rate that a router declares."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import numpy as np

__all__ = ["RateChanger", "resampled"]


class RateChanger:
    """Converts one stream of PCM16 mono, chunk by chunk; the lengths add up to within a sample."""

    def __init__(self, rate_in: int, rate_out: int) -> None:
        self._resampler: Any = None
        self._rate_in = rate_in
        self._odd = b""
        if rate_in != rate_out:
            import av  # here, because it takes a tenth of a second that most processes need never spend

            self._resampler = av.AudioResampler("s16", "mono", rate_out)

    def process(self, pcm: bytes) -> bytes:
        """The output that this input completes."""
        if self._resampler is None or not pcm:
            return pcm
        import av

        samples = np.frombuffer(pcm, "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = self._rate_in
        return self._read(frame)

    def flush(self) -> bytes:
        """What is left at the end."""
        return b"" if self._resampler is None else self._read(None)

    def _read(self, frame: Any) -> bytes:
        return b"".join(made.to_ndarray().tobytes() for made in self._resampler.resample(frame))


async def resampled(audio: AsyncIterator[bytes], rate_in: int, rate_out: int) -> AsyncGenerator[bytes, None]:
    """`audio` at another rate."""
    changer = RateChanger(rate_in, rate_out)
    async for pcm in audio:
        if changed := changer.process(pcm):
            yield changed
    if rest := changer.flush():
        yield rest
