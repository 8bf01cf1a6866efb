"""What a language's words say about how a sentence can end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Lexicon", "OpenCue", "endings", "phrases", "words"]

OpenCue = Literal[
    "conjunction",
    "preposition",
    "article",
    "possessive",
    "auxiliary",
    "subject",  # a pronoun that still lacks its verb
    "degree",  # "very", "a good"
    "filler",
    "lead-in",  # "my name is", "I'd like"
    "question",  # begun, but not asked
    "condition",  # "if it rains tomorrow"
    "list",  # "first ..."
    "digits",
    "spelling",
    "comma",
    "dash",
    "ellipsis",
]


def phrases(text: str) -> tuple[str, ...]:
    """Phrases that are separated by commas or ends of lines."""
    return tuple(phrase for line in text.splitlines() for part in line.split(",") if (phrase := part.strip()))


def endings(may_end: str = "", **by_cue: str) -> dict[str, OpenCue | None]:
    names: dict[str, OpenCue] = {
        "conjunction": "conjunction",
        "preposition": "preposition",
        "article": "article",
        "possessive": "possessive",
        "auxiliary": "auxiliary",
        "subject": "subject",
        "degree": "degree",
        "filler": "filler",
        "lead_in": "lead-in",
        "question": "question",
        "list_": "list",
        "digits": "digits",
        "spelling": "spelling",
    }
    table: dict[str, OpenCue | None] = {
        phrase: names[name] for name, text in by_cue.items() for phrase in phrases(text)
    }
    return table | dict.fromkeys(phrases(may_end))


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What is known of one language."""

    endings: Mapping[str, OpenCue | None]
    # The same for sentences that consist of nothing else.
    whole: Mapping[str, OpenCue | None] = field(default_factory=dict)
    answers: frozenset[str] = frozenset()  # complete in themselves
    closings: frozenset[str] = frozenset()  # that nothing needs to follow
    skipped: frozenset[str] = frozenset()  # words before the sentence proper: "okay so"
    # Words that leave a gap further on, so that a verb may stand last: "I know where it is".
    binders: frozenset[str] = frozenset()
    strandable: frozenset[str] = frozenset()  # those that do so for a preposition: "what are you looking for"
    # Prepositions that may belong to one of these verbs: "turn it on".
    particles: frozenset[str] = frozenset()
    particle_verbs: frozenset[str] = frozenset()
    # How questions begin: "where can you please".
    questioners: frozenset[str] = frozenset()
    auxiliaries: frozenset[str] = frozenset()
    be: frozenset[str] = frozenset()  # the auxiliaries that need no verb besides: "where are you"
    subjects: frozenset[str] = frozenset()
    adverbs: frozenset[str] = frozenset()
    conditions: frozenset[str] = frozenset()  # words that begin a clause which another has to follow
    main_clause: frozenset[str] = frozenset()  # words that can begin that other clause
    first: frozenset[str] = frozenset()  # what begins a list aloud
    further: frozenset[str] = frozenset()  # what carries it on
    common: frozenset[str] = frozenset()  # further words to know the language by


def words(text: str) -> frozenset[str]:
    """Words that are separated by white space."""
    return frozenset(text.split())
