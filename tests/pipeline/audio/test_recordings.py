"""Files as browsers, phones and tools record them: their sound comes out, and broken ones hurt nothing."""

import io
import random
import struct
import time
from functools import cache
from types import NoneType

import av
import numpy as np
import pytest

from pipeline.audio.recordings import decode_recording, recognise
from pipeline.errors import InvalidRequest
from server.talk.wav import encode_wav
from tests.audio_files import audio_file
from tests.chance import examples
from tests.conformance.hearing import transcript_of, word_errors
from tests.speech import BECKETT, recording

RATE = 24_000
PARAM = "item.content[0].audio"

# format, codec, rate, channels
FILES = {
    "Opus in Ogg": ("ogg", "libopus", 48_000, 1),
    "stereo Opus in WebM": ("webm", "libopus", 48_000, 2),
    "Opus of a telephone's width": ("ogg", "libopus", 8_000, 1),
    "FLAC in Ogg": ("ogg", "flac", 44_100, 2),
    "FLAC in Matroska": ("matroska", "flac", 16_000, 1),
    "Vorbis in Ogg": ("ogg", "vorbis", 44_100, 2),
    "WAV": ("wav", "pcm_s16le", 24_000, 1),
    "stereo WAV at 44.1 kHz": ("wav", "pcm_s16le", 44_100, 2),
    "WAV with 8 bits": ("wav", "pcm_u8", 16_000, 1),
    "WAV with 24 bits": ("wav", "pcm_s24le", 48_000, 1),
    "WAV with 32 bits": ("wav", "pcm_s32le", 48_000, 1),
    "WAV with floats": ("wav", "pcm_f32le", 48_000, 2),
    "WAV with mu-law": ("wav", "pcm_mulaw", 8_000, 1),
    "WAV with A-law": ("wav", "pcm_alaw", 8_000, 1),
}


@cache
def file_of(name: str, seconds: float = 10) -> bytes:
    """The beginning of the recording "beckett" as a file."""
    format, codec, rate, channels = FILES[name]
    pcm = recording("beckett", rate)[: 2 * round(rate * seconds)]
    return audio_file(pcm, format, codec, rate, channels)


def decode(data: bytes, rate: int = RATE, max_seconds: float = 60) -> bytes:
    return decode_recording(data, rate, max_seconds, PARAM)


def likeness(pcm: bytes, name: str, rate: int) -> float:
    """Correlation with a recording, sample by sample and without any shift in time."""
    said = np.frombuffer(recording(name, rate), "<i2").astype(float)
    heard = np.frombuffer(pcm, "<i2").astype(float)
    count = min(len(said), len(heard))
    return float(np.corrcoef(said[:count], heard[:count])[0, 1])


# --- good files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("rate", [8_000, RATE])
def test_the_sound_of_a_file_comes_out_in_time(name: str, rate: int) -> None:
    pcm = decode(file_of(name), rate)

    # A wrong pre-skip of Opus would shift it by 6.5 ms, which speech at that rate does not correlate over.
    assert likeness(pcm, "beckett", rate) > 0.95
    assert abs(len(pcm) - len(recording("beckett", rate))) / 2 / rate < 0.003


def test_stereo_is_mixed_and_not_halved() -> None:
    left, right = np.full(4800, 8000, "<i2"), np.full(4800, 2000, "<i2")
    interleaved = np.stack([left, right], axis=1).tobytes()
    header = bytearray(encode_wav(interleaved, RATE))
    struct.pack_into("<HIIH", header, 22, 2, RATE, 4 * RATE, 4)

    mixed = np.frombuffer(decode(bytes(header)), "<i2")

    assert len(mixed) == 4800
    assert abs(int(mixed[2400]) - 5000) <= 1


def test_an_extensible_header_is_understood() -> None:
    pcm = recording("beckett", RATE)
    subtype = struct.pack("<HHIH", 22, 16, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")
    layout = struct.pack("<HHIIHH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16) + subtype
    chunks = b"fmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(pcm)) + pcm

    assert decode(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks) == pcm


def test_a_wav_file_that_was_written_to_a_pipe_has_no_length() -> None:
    pcm = recording("beckett", RATE)
    file = encode_wav(pcm, RATE)

    assert decode(file[:4] + b"\xff" * 4 + file[8:40] + b"\xff" * 4 + file[44:]) == pcm


@pytest.mark.parametrize("name", ["Opus in Ogg", "stereo Opus in WebM"])
async def test_the_words_of_a_file_can_be_heard(name: str) -> None:
    assert word_errors(await transcript_of(decode(file_of(name)), RATE), BECKETT) < 0.2


def test_the_sound_of_a_film_is_heard_without_looking_at_it() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        picture = out.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        sound = out.add_stream("libopus", rate=48_000, layout="mono")
        samples = np.frombuffer(recording("beckett", 48_000), "<i2").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48_000
        still = av.VideoFrame(64, 64, "yuv420p")
        for packet in (
            *picture.encode(still),
            *picture.encode(None),
            *sound.encode(frame),
            *sound.encode(None),
        ):
            out.mux(packet)

    assert likeness(decode(file.getvalue()), "beckett", RATE) > 0.95


# --- what is a file ----------------------------------------------------------------------------------


def test_files_are_told_apart_by_how_they_begin() -> None:
    assert recognise(file_of("WAV", 0.1)) == "wav"
    assert recognise(file_of("Opus in Ogg", 0.1)) == "ogg"
    assert recognise(file_of("stereo Opus in WebM", 0.1)) == recognise(file_of("FLAC in Matroska", 0.1))
    assert recognise(file_of("stereo Opus in WebM", 0.1)) == "matroska"


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"RIFF",
        b"RIFF\x24\0\0\0AVI LIST",
        b"OggS",
        b"OggS\1\2",
        b"OggS\0\0 a page from the middle of a stream",
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x84webm without the name of the element",
        b"\x1a\x45\xdf\xa3" + bytes(100) + b"\x42\x82\x84webm",
        b"#EXTM3U\nhttp://127.0.0.1/",
        b"ID3\4",
        b"fLaC",
    ],
)
def test_bare_samples_may_begin_like_a_file(beginning: bytes) -> None:
    assert recognise(beginning + bytes(200)) is None


# --- bad files ---------------------------------------------------------------------------------------


def refusal(data: bytes, max_seconds: float = 60) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decode(data, max_seconds=max_seconds)
    assert (caught.value.code, caught.value.param) == ("invalid_value", PARAM)
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "message"),
    [("WAV", "WAV"), ("Opus in Ogg", "Ogg"), ("stereo Opus in WebM", "WebM")],
)
def test_a_file_that_ends_after_its_signature_is_refused(name: str, message: str) -> None:
    for length in (64, 40):
        beginning = file_of(name)[:length]
        assert recognise(beginning)
        assert refusal(beginning) in (
            f"Invalid '{PARAM}': the {message} file could not be decoded.",
            f"Invalid '{PARAM}': the file holds no audio.",
        )


def test_a_file_without_a_sample_is_refused() -> None:
    assert "could not be decoded" in refusal(encode_wav(b"", RATE))


def test_a_cut_file_is_heard_as_far_as_it_goes() -> None:
    for name in ("WAV", "Opus in Ogg", "stereo Opus in WebM"):
        whole = file_of(name)
        pcm = decode(whole[: len(whole) // 2])
        assert 3 < len(pcm) / 2 / RATE < 6
        assert likeness(pcm, "beckett", RATE) > 0.95


def test_a_film_without_sound_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for packet in (*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)):
            out.mux(packet)

    assert refusal(file.getvalue()) == f"Invalid '{PARAM}': the file holds no audio."


@pytest.mark.parametrize(
    ("format", "codec", "name"), [("matroska", "aac", "aac"), ("wav", "adpcm_ms", "adpcm_ms")]
)
def test_other_codecs_are_refused_by_name(format: str, codec: str, name: str) -> None:
    file = audio_file(recording("beckett", RATE), format, codec, RATE, 1)

    assert f"the file's codec '{name}' is not supported" in refusal(file)


@pytest.mark.parametrize("name", ["WAV", "Opus in Ogg", "stereo Opus in WebM"])
def test_a_recording_may_not_be_too_long(name: str) -> None:
    assert decode(file_of(name), max_seconds=10)
    assert "longer than the 9.5 s that are left for it" in refusal(file_of(name), 9.5)


def test_a_small_file_of_endless_silence_is_given_up_early() -> None:
    # A megabyte of header-rate trickery: each of its samples claims to last a millisecond.
    slow = encode_wav(bytes(2_000_000), 1_000)
    began = time.perf_counter()

    assert "longer than the 60.0 s" in refusal(slow)
    assert time.perf_counter() - began < 1


def test_an_absurd_rate_is_refused() -> None:
    assert "a rate of 4000000 Hz is not supported" in refusal(encode_wav(bytes(1000), 4_000_000))


def test_nothing_is_written_to_the_log_or_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("WAV", "Opus in Ogg", "stereo Opus in WebM"):
        file = bytearray(file_of(name))
        file[200:230] = bytes(30)
        file[len(file) // 2 : len(file) // 2 + 300] = bytes(300)
        outcome(bytes(file))

    assert capfd.readouterr() == ("", "")


def outcome(data: bytes) -> str:
    """What becomes of any bytes at all; a fault of our own fails the test."""
    if recognise(data) is None:
        return "samples"
    try:
        assert decode(data)
    except InvalidRequest as refusal:
        if not isinstance(refusal.__cause__, NoneType | av.FFmpegError | ValueError | NotImplementedError):
            raise
        return "refused"
    return "heard"


@pytest.mark.parametrize("name", FILES)
def test_broken_files_are_heard_in_part_or_refused(name: str) -> None:
    whole = file_of(name, 3)
    chance = random.Random(name)
    outcomes = {"samples": 0, "refused": 0, "heard": 0}
    began = time.perf_counter()
    for _ in range(examples(40).max_examples):
        data = bytearray(whole)
        match chance.randrange(3):
            case 0:
                del data[chance.randrange(len(data)) :]
            case 1:
                reach = chance.choice((64, 256, len(data)))
                for _ in range(chance.choice((1, 3, 30))):
                    data[chance.randrange(min(reach, len(data)))] ^= 1 << chance.randrange(8)
            case 2:
                at = chance.randrange(16, 200)
                data[at : at + chance.randrange(60)] = chance.randbytes(chance.randrange(60))
        outcomes[outcome(bytes(data))] += 1

    assert time.perf_counter() - began < 20
    assert outcomes["heard"]
    assert outcomes["refused"]
