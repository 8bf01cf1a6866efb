"""Audio files as other programs write them, made by ffmpeg's own encoders."""

import io

import av
import numpy as np

__all__ = ["audio_file"]


def audio_file(pcm: bytes, format: str, codec: str, rate: int, channels: int = 1) -> bytes:
    """PCM16 mono at `rate` Hertz as a file, the same on every channel.

    Formats and codecs have ffmpeg's names, such as "webm" and "libopus".
    """
    layout = {1: "mono", 2: "stereo"}[channels]
    samples = np.repeat(np.frombuffer(pcm, "<i2"), channels)
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return file.getvalue()
