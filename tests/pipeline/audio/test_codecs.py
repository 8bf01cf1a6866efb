"""The wire formats of audio: G.711 as the ITU defines it, and floats of any kind."""

import importlib
import struct
import warnings
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.codecs import bytes_per_sample, check_whole_samples, decode, encode
from pipeline.config import FormatType
from pipeline.errors import InvalidRequest
from tests.chance import examples
from tests.speech import recording

FORMATS: tuple[FormatType, ...] = get_args(FormatType)
LAWS: tuple[FormatType, ...] = ("audio/pcmu", "audio/pcma")
ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768).astype("<i2").tobytes()


def values(pcm: bytes) -> list[int]:
    return [int(value) for value in np.frombuffer(pcm, "<i2")]


def pcm16(*samples: int) -> bytes:
    return struct.pack(f"<{len(samples)}h", *samples)


def audioop() -> Any:
    """The standard library's own G.711, which Python 3.13 no longer has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("audioop")
        except ModuleNotFoundError:
            pytest.skip("this Python has no audioop")


# --- G.711 -------------------------------------------------------------------------------------------


def test_silence_has_the_codes_that_telephones_expect() -> None:
    assert encode(bytes(4), "audio/pcmu") == b"\xff\xff"
    assert encode(bytes(4), "audio/pcma") == b"\xd5\xd5"


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [
        # From tables 1a to 2b of G.711, scaled to 16 bits.
        ("audio/pcmu", 0x80, 32124),
        ("audio/pcmu", 0x00, -32124),
        ("audio/pcmu", 0x8F, 16764),
        ("audio/pcmu", 0xFE, 8),
        ("audio/pcmu", 0x7F, 0),
        ("audio/pcma", 0xAA, 32256),
        ("audio/pcma", 0x2A, -32256),
        ("audio/pcma", 0xD5, 8),
        ("audio/pcma", 0x55, -8),
        ("audio/pcma", 0xC5, 264),
    ],
)
def test_codes_stand_for_the_published_values(law: FormatType, code: int, value: int) -> None:
    assert values(decode(bytes([code]), law)) == [value]


def test_every_code_decodes_as_in_the_standard_library() -> None:
    reference = audioop()

    assert decode(ALL_CODES, "audio/pcmu") == reference.ulaw2lin(ALL_CODES, 2)
    assert decode(ALL_CODES, "audio/pcma") == reference.alaw2lin(ALL_CODES, 2)


def test_every_sample_encodes_as_in_the_standard_library() -> None:
    reference = audioop()
    positive = ALL_SAMPLES[65536:]

    assert encode(ALL_SAMPLES, "audio/pcma") == reference.lin2alaw(ALL_SAMPLES, 2)
    # Its mu-law makes a louder sound of the faintest negative sample, -1, than of the positive one.
    assert encode(positive, "audio/pcmu") == reference.lin2ulaw(positive, 2)
    assert values(decode(encode(pcm16(1, -1), "audio/pcmu"), "audio/pcmu")) == [0, 0]


@pytest.mark.parametrize("law", LAWS)
def test_every_code_but_a_second_zero_comes_back_as_it_was(law: FormatType) -> None:
    again = encode(decode(ALL_CODES, law), law)

    changed = {code for code in ALL_CODES if again[code] != code}
    assert changed == ({0x7F} if law == "audio/pcmu" else set())


@pytest.mark.parametrize("law", LAWS)
def test_louder_samples_never_become_softer(law: FormatType) -> None:
    decoded = np.frombuffer(decode(encode(ALL_SAMPLES, law), law), "<i2").astype(int)

    assert (np.diff(decoded) >= 0).all()
    assert len(set(decoded)) == (255 if law == "audio/pcmu" else 256)


@pytest.mark.parametrize("law", LAWS)
def test_speech_survives_a_telephone_line(law: FormatType) -> None:
    speech = recording("beckett", 8_000)
    heard = np.frombuffer(decode(encode(speech, law), law), "<i2").astype(float)
    said = np.frombuffer(speech, "<i2").astype(float)

    noise = np.sqrt(np.mean((heard - said) ** 2))
    assert 20 * np.log10(np.sqrt(np.mean(said**2)) / noise) > 33  # dB; the law gives about 37


# --- floats ------------------------------------------------------------------------------------------


def test_floats_carry_every_sample_exactly() -> None:
    assert decode(encode(ALL_SAMPLES, "audio/float32"), "audio/float32") == ALL_SAMPLES


@pytest.mark.parametrize(
    ("value", "sample"),
    [
        (0.5, 16384),
        (1.0, 32767),
        (-1.0, -32768),
        (7.5, 32767),
        (-3e38, -32768),
        (float("inf"), 32767),
        (float("-inf"), -32768),
        (float("nan"), 0),
        (1e-40, 0),
    ],
)
def test_any_float_is_a_sample(value: float, sample: int) -> None:
    assert values(decode(struct.pack("<f", value), "audio/float32")) == [sample]


@examples(300)
@given(data=st.binary(max_size=64).map(lambda data: data[: len(data) // 4 * 4]))
def test_no_bytes_are_too_odd_for_floats(data: bytes) -> None:
    assert len(decode(data, "audio/float32")) == len(data) // 2


# --- all formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("type", FORMATS)
@examples(100)
@given(samples=st.lists(st.integers(-32768, 32767), max_size=50))
def test_decoding_undoes_encoding_as_closely_as_the_format_allows(
    type: FormatType, samples: list[int]
) -> None:
    encoded = encode(pcm16(*samples), type)

    assert len(encoded) == bytes_per_sample(type) * len(samples)
    for before, after in zip(samples, values(decode(encoded, type)), strict=True):
        # Half a step of G.711: 1/32 of the sample, and no finer than the first segment has it.
        assert abs(before - after) <= (abs(before) / 32 + 8 if type in LAWS else 0)


@pytest.mark.parametrize(
    ("type", "length", "message"),
    [
        ("audio/pcm", 3, "Invalid 'audio': PCM16 audio has an even number of bytes, but this has 3."),
        ("audio/float32", 6, "Invalid 'audio': float32 audio has four bytes per sample, but this has 6."),
    ],
)
def test_half_a_sample_is_refused(type: FormatType, length: int, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        check_whole_samples(bytes(length), type, "audio")

    assert (refusal.value.message, refusal.value.code, refusal.value.param) == (
        message,
        "invalid_value",
        "audio",
    )


@pytest.mark.parametrize("type", FORMATS)
def test_whole_samples_are_welcome(type: FormatType) -> None:
    for count in range(3):
        check_whole_samples(bytes(count * bytes_per_sample(type)), type, "audio")
