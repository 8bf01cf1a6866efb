"""What the server says of its own accord, by language: to fill a wait, and to show that it listens."""

import re
from collections.abc import Mapping, Sequence

from pipeline.config import SessionConfig
from pipeline.core.clauses import ClauseCutter

__all__ = ["MAX_PHRASE", "Rotation", "as_sentence", "fillers", "language_of", "listener_sounds", "one_line"]

MAX_PHRASE = 200  # characters

_ENGLISH = "en"

# Each fits before any answer, before a question, and before a call of a function.
_FILLERS: Mapping[str, tuple[str, ...]] = {
    "de": ("Einen Moment.", "Mal sehen.", "Lass mich kurz überlegen.", "Ich schaue kurz."),
    "en": ("One moment.", "Let me see.", "Let me think.", "Just a second."),
    "es": ("Un momento.", "Déjame ver.", "Déjame pensar.", "Un segundo."),
    "fr": ("Un instant.", "Voyons voir.", "Laissez-moi réfléchir.", "Une seconde."),
    "it": ("Un momento.", "Vediamo un po'.", "Fammi pensare.", "Solo un secondo."),
    "ja": ("少々お待ちください。", "そうですね。", "ちょっと考えますね。"),
    "ko": ("잠시만요.", "어디 볼까요.", "잠깐 생각해 볼게요."),
    "nl": ("Een moment.", "Even kijken.", "Even nadenken.", "Een ogenblik."),
    "pl": ("Chwileczkę.", "Zobaczmy.", "Niech pomyślę.", "Sekundę."),
    "pt": ("Um momento.", "Deixe-me ver.", "Deixe-me pensar.", "Um segundo."),
    "ru": ("Одну минуту.", "Сейчас посмотрим.", "Дайте подумать.", "Секунду."),
    "zh": ("稍等一下。", "让我看看。", "让我想一想。"),
}
# Each says no more than "go on".
_LISTENER_SOUNDS: Mapping[str, tuple[str, ...]] = {
    "de": ("Ja", "Verstehe", "Okay", "Aha"),
    "en": ("Uh-huh", "I see", "Right", "Okay"),
    "es": ("Ajá", "Ya veo", "Claro", "Vale"),
    "fr": ("D'accord", "Je vois", "Oui", "Ah oui"),
    "it": ("Sì", "Capisco", "Certo", "Okay"),
    "ja": ("はい", "ええ", "なるほど"),
    "ko": ("네", "그렇군요", "아하"),
    "nl": ("Ja", "Oké", "Ik snap het", "Juist"),
    "pl": ("Tak", "Rozumiem", "Aha", "Jasne"),
    "pt": ("Sim", "Entendo", "Certo", "Tá"),
    "ru": ("Да", "Понятно", "Ага", "Ясно"),
    "zh": ("嗯", "好的", "明白"),
}

_MARKUP = re.compile(r"[*_`#\"“”„«»]+|\[\[.*?\]\]")


def fillers(language: str | None) -> tuple[str, ...]:
    """Sentences that fill a wait, in that language (ISO 639-1 or BCP 47), or in English."""
    return _FILLERS.get(_base(language), _FILLERS[_ENGLISH])


def listener_sounds(language: str | None) -> tuple[str, ...]:
    """Short phrases of a listener, in that language, or in English."""
    return _LISTENER_SOUNDS.get(_base(language), _LISTENER_SOUNDS[_ENGLISH])


def _base(language: str | None) -> str:
    return re.split("[-_]", language or _ENGLISH)[0].lower()


def language_of(config: SessionConfig, detected: str | None = None) -> str | None:
    """What the user speaks: as the session says, else as it was detected; None where nobody knows."""
    transcription = config.audio.input.transcription
    if transcription is not None and transcription.language:
        return transcription.language
    if detected is not None or transcription is None or not transcription.languages:
        return detected
    return transcription.languages[0]


class Rotation:
    """Takes one phrase after the other, so that none is heard twice in a row where there are several."""

    def __init__(self) -> None:
        self._last: str | None = None

    def next(self, phrases: Sequence[str]) -> str:
        """The one behind the last; the first where the last is not among them. There must be one."""
        after = phrases.index(self._last) + 1 if self._last in phrases else 0
        self._last = phrases[after % len(phrases)]
        return self._last


def one_line(text: str) -> str:
    """The first line of what somebody wrote, without markup, quotation marks and extra white space.

    Empty where there is no word in it, and where it is longer than a phrase may be: half would be worse.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    line = " ".join(_MARKUP.sub("", first).split())
    return line if len(line) <= MAX_PHRASE and any(map(str.isalnum, line)) else ""


def as_sentence(phrase: str) -> str:
    """The phrase with what it takes to be spoken at once, and a space behind it."""
    bare = phrase.rstrip(",;:—–-. ")
    for ended in (phrase, bare + ".", bare + "..."):
        text = ended + " "
        if "".join(ClauseCutter().feed(text)) == text:
            break
    return text
