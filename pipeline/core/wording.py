"""Tells by its last words whether a text can be a finished utterance.

Only the end is looked at, by tables and a few rules of grammar. Where they do not know, the answer is
"unknown": most words may or may not be the last, and then the sound has to decide. Transcribers put a full
stop behind everything, cut off or not, so that a full stop proves next to nothing, and never outweighs a word
that lacks its successor.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pipeline.core.dictation import WORD, judge_dictation
from pipeline.core.words import LEXICONS, Lexicon, OpenCue, languages_of

__all__ = ["CompleteCue", "Wording", "judge_wording"]

CompleteCue = Literal["answer", "question mark", "exclamation mark", "closing", "clause", "digits"]

_TAIL = 200  # characters that are looked at, some 35 words
_LONGEST_ENDING = 4  # words
_VOTERS = 16  # words that show the language
# Of so many words this share must be known; of English ones about a half are, among its function words alone.
_FEW, _SHARE = 4, 0.3

_REST_OF_A_WORD = re.compile(r"[\w'’]*")
_SENTENCE_END = re.compile(r"[.!?…。！？؟][\"'”’»)\]]*\s+|[。！？]")
_ABBREVIATED = re.compile(r"(?:\b[ap]\.?m|\b(?:mr|mrs|ms|dr|st|vs|no|prof)|\b[a-z])\.\s+$")
_LONGEST_ABBREVIATION = 8  # characters, with what is around it
_ELLIPSES = ("..", "…")
_MARKS = {
    **dict.fromkeys(".。", "."),
    **dict.fromkeys("?？؟", "?"),
    **dict.fromkeys("!！", "!"),
    **dict.fromkeys(",;:،、，", ","),
    **dict.fromkeys("-–—", "-"),
}
_ELIDED = (
    " l'",
    " d'",
    " qu'",
    " j'",
    " n'",
    "dell'",
    "all'",
    "nell'",
    " un'",
)  # whose apostrophe is no quotation
_ECHOING = frozenset(["as", "than", "but"])  # before a subject and its auxiliary: "as I can"
# Whoever lacks one of these has not asked anything yet, whatever mark the transcriber sets.
_STRONG = frozenset[OpenCue](
    ["conjunction", "article", "possessive", "filler", "lead-in", "degree", "question"]
)


@dataclass(frozen=True, slots=True)
class Wording:
    """Whether words can be all of an utterance, and by what one can tell.

    `words` are never the speaker's own but those of our tables, so that they may be logged.
    """

    kind: Literal["complete", "open", "unknown"]
    cue: OpenCue | CompleteCue | None = None
    words: str = ""
    count: int = 0  # of the digits or letters dictated so far


_UNKNOWN = Wording("unknown")


def judge_wording(text: str, language: str | None = None) -> Wording:
    """Judge a text of any length by its end; never raises.

    `language`: a code such as "de" or "pt-BR" where it is known; otherwise the words show it.
    """
    if len(text) <= _TAIL:
        return _judge(text, language)
    tail = text[-_TAIL:]
    beginning = _REST_OF_A_WORD.match(tail)
    return _judge(tail[beginning.end() :] if beginning else tail, language)


@lru_cache(maxsize=256)  # the same words are judged with every frame of a pause
def _judge(tail: str, language: str | None) -> Wording:
    original = tail
    if not tail.isascii():
        tail = unicodedata.normalize("NFC", tail).replace("’", "'")
    tail = tail.lower().rstrip().rstrip('"”»)]')
    if not tail.endswith(_ELIDED):
        tail = tail.rstrip("'")
    sentence, mark = _last_sentence(tail)
    words = WORD.findall(tail)
    if not words:
        return _UNKNOWN
    dictated = judge_dictation(tail, words)
    if dictated is not None:
        if dictated.state == "some":
            return Wording("open", dictated.cue, count=dictated.count)
        if dictated.state == "all":
            return Wording("complete", "digits", count=dictated.count)
        return _UNKNOWN
    if _is_letter(tail, words[-1]) or original.rstrip(" .,!?…").endswith(" A"):
        return _judge_mark(mark if mark != "." else "", [], None)
    lexicon = _lexicon(words, language)
    words = WORD.findall(tail, sentence)
    found = _judge_words(words, tail[sentence:], mark, lexicon) if lexicon is not None and words else None
    if found is not None:
        return found
    return _judge_mark(mark, words, lexicon)


def _is_letter(tail: str, last: str) -> bool:
    """Whether the last word is a letter of an abbreviation, as in "made in the U.S.A."."""
    start = tail.rfind(last)
    return len(last) == 1 and start > 1 and tail[start - 1] == "." and tail[start - 2].isalpha()


def _last_sentence(tail: str) -> tuple[int, str]:
    """Where the last sentence begins, and the mark that ends it."""
    start = 0
    for match in _SENTENCE_END.finditer(tail):
        end = match.end()
        if end < len(tail) and not _ABBREVIATED.search(tail, max(0, end - _LONGEST_ABBREVIATION), end):
            start = end
    if tail.endswith(_ELLIPSES):
        return start, "…"
    return start, _MARKS.get(tail[-1:], "")


def _lexicon(words: Sequence[str], language: str | None) -> Lexicon | None:
    """The words of the language that the text is most likely in, or None if it is none of ours."""
    if language is not None and (code := language.lower()[:2]):
        return LEXICONS.get(code)
    votes = dict.fromkeys(LEXICONS, 0)
    words = words[-_VOTERS:]
    for word in words:
        for code in languages_of(word):
            votes[code] += 1
    best = max(votes, key=votes.__getitem__)  # the first of equals, and English comes first
    known = votes[best]
    if not known or (len(words) >= _FEW and known < _SHARE * len(words)):
        return None
    return LEXICONS[best]


# --- marks ----------------------------------------------------------------------------------------


def _judge_mark(mark: str, words: Sequence[str], lexicon: Lexicon | None) -> Wording:
    match mark:
        case "…":
            return Wording("open", "ellipsis")
        case ",":
            return Wording("open", "comma")
        case "-":
            return Wording("open", "dash")
        case "?":
            return Wording("complete", "question mark")
        case "!":
            return Wording("complete", "exclamation mark")
        case "." if lexicon is not None and _is_clause(words, lexicon):
            return Wording("complete", "clause")
        case _:
            return _UNKNOWN


def _is_clause(words: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether there is at least room for a subject and what is said of it."""
    return len(words) >= 4 and any(
        word in lexicon.subjects or word in lexicon.auxiliaries or "'" in word for word in words[:-1]
    )


# --- words ----------------------------------------------------------------------------------------


def _judge_words(words: list[str], sentence: str, mark: str, lexicon: Lexicon) -> Wording | None:
    """What the words of the last sentence show; None: nothing."""
    if _are_answers(words, lexicon):
        return Wording("open", "comma") if mark == "," else Wording("complete", "answer")
    start = 0
    while start < len(words) - 1 and words[start] in lexicon.skipped:
        start += 1
    proper = words[start:]
    ending, cue = _ending(proper, lexicon)
    if ending is not None and cue is not None:
        return Wording("open", cue, ending) if mark != "?" or cue in _STRONG else _UNKNOWN
    if mark in ("", ".") and ending is None:
        if (condition := _open_condition(proper, sentence, lexicon)) is not None:
            return Wording("open", "condition", condition)
        if proper[0] in lexicon.first and len(proper) > 1 and not lexicon.further.intersection(proper):
            return Wording("open", "list", proper[0])
        if (closing := _closing(words, lexicon)) is not None:
            return Wording("complete", "closing", closing)
    if ending is not None and mark in ("", "."):
        return _UNKNOWN  # a word that may well be the last, but no more than that
    return None


def _are_answers(words: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether the words are short answers and nothing else: "yes", "okay, thank you"."""
    if len(words) > 12:
        return False
    index = 0
    while index < len(words):
        for length in range(min(5, len(words) - index), 0, -1):
            if " ".join(words[index : index + length]) in lexicon.answers:
                index += length
                break
        else:
            return False
    return True


def _closing(words: Sequence[str], lexicon: Lexicon) -> str | None:
    for length in (4, 3, 2, 1):
        if length < len(words) and (phrase := " ".join(words[-length:])) in lexicon.closings:
            return phrase
    return None


def _ending(words: list[str], lexicon: Lexicon) -> tuple[str | None, OpenCue | None]:
    """The listed words that the sentence ends with, if any, and what they lack, if anything."""
    whole = " ".join(words) if len(words) <= _LONGEST_ENDING else ""
    if whole in lexicon.whole:
        return whole, lexicon.whole[whole]
    if (question := _question(words, lexicon)) is not None:
        return question
    for length in range(min(_LONGEST_ENDING, len(words)), 0, -1):
        phrase = " ".join(words[-length:])
        if phrase in lexicon.endings:
            cue = lexicon.endings[phrase]
            if cue is None or _is_possible(words, length, cue, lexicon):
                return phrase, None
            return phrase, cue
    return None, None


def _question(words: list[str], lexicon: Lexicon) -> tuple[str, OpenCue | None] | None:
    """A question that has no more than its beginning: "can you", "what should I", "could you please"."""
    end = len(words)
    while end > 2 and words[end - 1] in lexicon.adverbs:
        end -= 1
    if end < 2 or words[end - 1] not in lexicon.subjects or words[end - 2] not in lexicon.auxiliaries:
        return None
    phrase = " ".join(words[end - 2 :])
    if end == 2:
        return phrase, "question"
    if words[0] in lexicon.questioners:
        if words[end - 2] in lexicon.be:
            return phrase, None  # "where are you"
        return phrase, "question"
    return None


def _is_possible(words: list[str], length: int, cue: OpenCue, lexicon: Lexicon) -> bool:
    """Whether a word that usually lacks its successor may be the last one here."""
    before = words[:-length]
    if cue == "preposition":
        if lexicon.strandable.intersection(before[:-1]):
            return True  # "what are you looking for", "something to talk about"
        return words[-1] in lexicon.particles and _has_verb(before[-4:], lexicon)
    if cue in ("auxiliary", "lead-in"):
        echo = len(before) == 1 or (len(before) > 1 and before[-2] in _ECHOING)
        if cue == "auxiliary" and echo and before[-1] in lexicon.subjects:
            return True  # "yes I do"
        # "I know where it is", but not "what time is"
        return bool(lexicon.binders.intersection(before[1:-1] if cue == "auxiliary" else before))
    if cue == "question":
        return bool(before) and before[0] in lexicon.questioners  # "how many do you want"
    if cue == "subject":
        return (
            len(before) >= 2 and before[-1] in lexicon.be and before[0] in lexicon.questioners
        )  # "how are they"
    return False


def _has_verb(before: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether a particle behind these words belongs to a verb: "turn it", not "turn on the lights"."""
    for word in reversed(before):
        if word in lexicon.particle_verbs:
            return True
        if word in lexicon.particles:
            return False
    return False


def _open_condition(words: Sequence[str], sentence: str, lexicon: Lexicon) -> str | None:
    """The word that begins a clause on which another has to follow: "if it rains tomorrow"."""
    if words[0] not in lexicon.conditions or not 3 <= len(words) <= 14 or "," in sentence:
        return None
    if words[1] in lexicon.auxiliaries:
        return None  # "when is it", "since has ..."
    subjects = sum(word in lexicon.main_clause for word in words[1:])
    return words[0] if subjects <= 1 else None
