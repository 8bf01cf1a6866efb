"""The eSpeak NG library through ctypes: the only place that enters it, one call at a time.

What makes it need a place of its own: all its state is global, so two threads inside it abort the process; a
missing data folder sends it to where it was built and makes it print; it reads text as SSML or phonemes when
asked to, which nobody here does; an unknown variant is ignored, and a path in its place is opened.
"""

import ctypes
import locale
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.errors import ProviderError
from providers.weights import wheel_file

__all__ = ["DEFAULT_RATE", "EspeakLibrary", "InstalledVoice", "WordStart", "open_espeak"]

# Constants of speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000  # report a bad data folder instead of ending the process
PARAMETER_RATE = 1
POSITION_CHARACTER = 1
CHARS_UTF8 = 1
EVENT_LIST_TERMINATED, EVENT_WORD = 0, 1

DEFAULT_RATE = 175  # words per minute
SLOWEST, FASTEST = 80, 450
BUFFER_MS = 60  # how much audio comes per callback

# What is inside the library is inside for the whole process.
_lock = threading.Lock()
_opened: "EspeakLibrary | None" = None


@dataclass(frozen=True, slots=True)
class InstalledVoice:
    """A voice file whose language's dictionary is there too."""

    identifier: str  # its path, the only name that the library always finds it by
    name: str
    tag: str  # its language
    claims: tuple[tuple[int, str], ...]  # more tags that it may be found by; the lowest rank wins


@dataclass(frozen=True, slots=True)
class WordStart:
    chars: int  # characters of the text before the word
    samples: int  # samples of the audio before the word


Sink = Callable[[bytes, list[WordStart]], bool]  # takes audio and words; false stops the synthesis


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


class _Voice(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def open_espeak() -> "EspeakLibrary":
    """The library of this process, loaded at the first call; raises `ProviderError` when it cannot be."""
    global _opened
    with _lock:
        if _opened is None:
            _opened = EspeakLibrary()
        return _opened


class EspeakLibrary:
    """Use `open_espeak`. `synthesise` blocks, and its calls queue behind each other."""

    sample_rate: int  # Hertz
    voices: tuple[InstalledVoice, ...]
    variants: frozenset[str]

    def __init__(self) -> None:
        data = wheel_file("espeakng_loader", "espeak-ng-data/phontab").parent
        self._library = _load(data.parent)
        before = locale.setlocale(locale.LC_CTYPE)
        rate = self._library.espeak_Initialize(
            AUDIO_OUTPUT_SYNCHRONOUS, BUFFER_MS, os.fsencode(data), INITIALIZE_DONT_EXIT
        )
        locale.setlocale(locale.LC_CTYPE, before)  # the library changes it for the process, without need
        if rate <= 0:
            raise ProviderError("eSpeak NG cannot read its data; reinstall the wheel 'espeakng-loader'")
        self.sample_rate = rate
        self.variants = frozenset(file.name for file in (data / "voices" / "!v").iterdir())
        self.voices = tuple(voice for voice in self._list_voices() if _has_dictionary(data, voice))
        self._sink: Sink | None = None
        self._failure: BaseException | None = None
        self._callback = _Callback(self._receive)  # the library keeps a bare pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def synthesise(self, text: str, voice: str, rate: float, sink: Sink) -> None:
        """Speak `text` as `voice` (an identifier, perhaps with `+variant`) at `rate` words per minute.

        `sink` is called in this thread for each 60 ms of PCM16 as it comes about (the first after 0.2 ms, all
        at 1000 times the pace of speech), and must not block: every other speaker waits meanwhile. The text
        must be free of NUL and lone surrogates. Raises `ProviderError`, or what `sink` raised.
        """
        data = text.encode()
        with _lock:
            self._sink, self._failure = sink, None
            try:
                if self._library.espeak_SetVoiceByName(voice.encode()):
                    raise ProviderError(f"eSpeak NG cannot load its voice '{voice}'")
                words_per_minute = round(min(max(rate, SLOWEST), FASTEST))
                self._library.espeak_SetParameter(PARAMETER_RATE, words_per_minute, 0)
                failed = self._library.espeak_Synth(
                    data, len(data) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None
                )
                if self._failure is not None:
                    raise self._failure
                if failed:
                    raise ProviderError(f"eSpeak NG failed with status {failed}")
            finally:
                self._sink = self._failure = None

    def _receive(self, wave: Any, samples: int, events: Any) -> int:
        # An exception would be printed and forgotten by ctypes, and the synthesis would go on.
        try:
            words = []
            index = 0
            while (event := events[index]).type != EVENT_LIST_TERMINATED:
                if event.type == EVENT_WORD:
                    words.append(WordStart(event.text_position - 1, event.sample))
                index += 1
            pcm = ctypes.string_at(wave, 2 * samples) if wave else b""
            return 0 if self._sink is not None and self._sink(pcm, words) else 1
        except BaseException as error:  # noqa: BLE001 - raised again by `synthesise`
            self._failure = error
            return 1

    def _list_voices(self) -> list[InstalledVoice]:
        found = self._library.espeak_ListVoices(None)
        voices = []
        index = 0
        while found[index]:
            voice = found[index].contents
            (_, tag), *claims = _tags(voice.languages)
            name = voice.name.decode().strip()
            voices.append(InstalledVoice(voice.identifier.decode(), name, tag, tuple(claims)))
            index += 1
        return voices


def _load(folder: Path) -> Any:
    """Load the shared library out of `folder` and declare the functions that we call."""
    names = ("libespeak-ng.so", "libespeak-ng.dylib", "espeak-ng.dll")
    file = next((folder / name for name in names if (folder / name).exists()), None)
    try:
        library = ctypes.CDLL(str(file or folder / names[0]))
    except OSError as error:
        raise ProviderError(f"eSpeak NG cannot be loaded, reinstall 'espeakng-loader': {error}") from error
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetSynthCallback.argtypes = [_Callback]
    library.espeak_SetSynthCallback.restype = None
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    return library


def _tags(address: int) -> list[tuple[int, str]]:
    """The language tags at `address`: for each a byte of rank and its text, until a rank of zero."""
    tags = []
    while rank := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        tags.append((rank, tag.decode()))
        address += len(tag) + 2
    return tags


def _has_dictionary(data: Path, voice: InstalledVoice) -> bool:
    """Some voices come without a dictionary; they are mute, and make the library complain on stderr."""
    try:
        text = (data / "lang" / voice.identifier).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    named = re.search(r"^\s*dictionary\s+(\S+)", text, re.MULTILINE)
    language = named[1] if named else voice.tag.split("-")[0]
    return (data / f"{language}_dict").exists()
