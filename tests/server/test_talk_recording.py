"""Any WAV file becomes speech at 24 kHz, and the end of the voice is found in it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from providers.weights import wheel_file
from server.talk.recording import RATE, RecordingError, read_recording, recording
from server.talk.wav import decode_wav, encode_wav

TONE_HZ = 440.0


def tone(rate: int, seconds: float = 0.5) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(rate * seconds)) / rate)


def wav(kind: int, channels: int, rate: int, bits: int, body: bytes, *, extensible: bool = False) -> bytes:
    """A WAV file with a chunk of another program in front of its data."""
    block = channels * bits // 8
    layout = struct.pack("<HHIIHH", 0xFFFE if extensible else kind, channels, rate, rate * block, block, bits)
    if extensible:
        layout += struct.pack("<HHIH", 22, bits, 0, kind) + bytes(14)
    parts = b"fmt " + struct.pack("<I", len(layout)) + layout
    parts += b"LIST" + struct.pack("<I", 3) + b"abc\0"
    parts += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts


def packed(samples: NDArray[np.float64], kind: int, bits: int) -> bytes:
    if kind == 3:
        return samples.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return np.rint(samples * 127 + 128).astype("u1").tobytes()
    whole = np.rint(samples * (2 ** (bits - 1) - 1)).astype("<i4")
    octets: NDArray[np.uint8] = whole.view("u1").reshape(-1, 4)
    return octets[:, : bits // 8].tobytes()


def frequency(pcm: bytes) -> float:
    samples: NDArray[Any] = np.frombuffer(pcm, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


@pytest.mark.parametrize(
    ("kind", "bits", "extensible"),
    [
        (1, 8, False),
        (1, 16, False),
        (1, 16, True),
        (1, 24, False),
        (1, 24, True),
        (1, 32, False),
        (3, 32, False),
        (3, 64, False),
        (3, 32, True),
    ],
)
def test_every_sample_format_gives_the_same_sound(kind: int, bits: int, extensible: bool) -> None:
    samples = tone(RATE)

    decoded, rate = decode_wav(
        wav(kind, 1, RATE, bits, packed(samples, kind, bits), extensible=extensible), "x"
    )

    assert rate == RATE
    assert np.abs(decoded - samples).max() < (0.02 if bits == 8 else 1e-4)


def test_telephone_codes_decode_to_the_values_of_the_standard() -> None:
    codes = bytes([0xD5, 0x55, 0xAA, 0x2A])  # A-law: +8, -8, +32256, -32256
    alaw, _ = decode_wav(wav(6, 1, 8000, 8, codes), "x")
    mulaw, _ = decode_wav(wav(7, 1, 8000, 8, bytes([0xFF, 0x7F, 0x80, 0x00])), "x")

    assert (alaw * 32768).tolist() == [8, -8, 32256, -32256]
    assert (mulaw * 32768).tolist() == [0, 0, 32124, -32124]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_every_rate_keeps_pitch_length_and_loudness(rate: int, tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    file.write_bytes(wav(1, 1, rate, 16, packed(tone(rate), 1, 16)))

    heard = read_recording(file)

    assert heard.duration_ms == pytest.approx(500, abs=1)
    assert frequency(heard.pcm) == pytest.approx(TONE_HZ, abs=3)
    middle = np.frombuffer(heard.pcm, "<i2")[4000:8000] / 32768
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_frequencies_that_do_not_fit_are_filtered_out_and_not_folded_back(tmp_path: Path) -> None:
    rate = 48_000
    whistle = 0.5 * np.sin(2 * np.pi * 17_000 * np.arange(rate) / rate)
    file = tmp_path / "whistle.wav"
    file.write_bytes(wav(1, 1, rate, 16, packed(whistle, 1, 16)))

    samples = np.frombuffer(read_recording(file).pcm, "<i2")[2000:-2000]

    assert np.abs(samples).max() < 32768 * 0.5 * 10 ** (-60 / 20)


def test_channels_are_mixed(tmp_path: Path) -> None:
    left, right = tone(RATE), np.zeros(RATE // 2)
    file = tmp_path / "stereo.wav"
    file.write_bytes(wav(1, 2, RATE, 16, packed(np.stack([left, right], axis=1).reshape(-1), 1, 16)))

    samples = np.frombuffer(read_recording(file).pcm, "<i2")

    assert len(samples) == RATE // 2
    assert samples.max() == pytest.approx(8192, abs=20)


def test_a_file_that_was_written_to_a_pipe_is_read_to_its_end() -> None:
    whole = bytearray(encode_wav(packed(tone(RATE), 1, 16), RATE))
    whole[40:44] = b"\xff\xff\xff\xff"  # the writer could not go back and fill in the length

    decoded, _ = decode_wav(bytes(whole), "x")

    assert len(decoded) == RATE // 2


def test_what_was_encoded_decodes_to_the_same() -> None:
    pcm = packed(tone(RATE), 1, 16)

    decoded, rate = decode_wav(encode_wav(pcm, RATE), "x")

    assert (rate, np.rint(decoded * 32768).astype("<i2").tobytes()) == (RATE, pcm)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"ID3\x04 this is music", "is not a WAV file; convert it with: ffmpeg -i "),
        (b"RIFF\x04\0\0\0WAVE", "damaged"),
        (wav(1, 1, RATE, 16, b""), "holds no audio"),
        (wav(17, 1, RATE, 4, bytes(100)), "format that is not supported (code 17, 4 bits"),
        (wav(1, 0, RATE, 16, bytes(100)), "not supported"),
        (wav(1, 1, 0, 16, bytes(100)), "not supported"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(content: bytes, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "speech.wav"
    file.write_bytes(content)

    with pytest.raises(RecordingError) as caught:
        read_recording(file)

    assert complaint in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"no file .*nothing\.wav"):
        read_recording(tmp_path / "nothing.wav")


def test_a_folder_is_not_a_recording(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        read_recording(tmp_path)


def test_the_end_of_a_human_voice_is_found_within_a_breath() -> None:
    # Looked up by eye: "clone-test" fades at 3.9 s, "beckett" ends with "better" at 8.9 s and room noise.
    assert read_recording(wheel_file("moonshine_voice", "assets/clone-test.wav")).voice_end == pytest.approx(
        3920, abs=60
    )
    assert read_recording(wheel_file("moonshine_voice", "assets/beckett.wav")).voice_end == pytest.approx(
        8930, abs=60
    )


def test_the_last_voice_before_a_moment_is_the_end_of_the_word_before_it() -> None:
    beckett = read_recording(wheel_file("moonshine_voice", "assets/beckett.wav"))

    assert beckett.voice_end_before(8000) == pytest.approx(7400, abs=60)  # "fail again", then a pause
    assert beckett.voice_end_before(100) is None


def test_clicks_and_silence_are_no_voice() -> None:
    samples = np.zeros(RATE)
    samples[5000:5050] = 0.9

    clicks = recording("clicks", samples, RATE)

    assert clicks.voice_end is None
    assert recording("silence", np.zeros(RATE), RATE).voice_end is None
    assert recording("next to nothing", np.zeros(10), RATE).voice_end is None
