"""Deepgram's voices. To the service each is a model; here they are also the voices of two models."""

import re

from providers.contracts import Voice

__all__ = ["FAMILIES", "controls", "family_of", "is_voice", "voices_of"]

FAMILIES = ("aura-2", "aura")

# As of November 2026.
_NAMES = {
    "aura-2": {
        "en": "amalthea andromeda apollo arcas aries asteria athena atlas aurora callista cora cordelia delia"
        " draco electra harmonia helena hera hermes hyperion iris janus juno jupiter luna mars minerva"
        " neptune odysseus ophelia orion orpheus pandora phoebe pluto saturn selene thalia theia vesta zeus",
        "es": "agustina alvaro antonia aquila carina celeste diana estrella gloria javier luciano nestor"
        " olivia selena silvia sirio valerio",
        "de": "aurelia elara fabian julius kara lara viktoria",
        "nl": "beatrix cornelia daphne hestia lars leda rhea roman sander",
        "fr": "agathe hector",
        "it": "cesare cinzia demetra dionisio elio flavio livia maia melia",
        "ja": "ama ebisu fujin izanami uzume",
    },
    "aura": {"en": "angus arcas asteria athena helios hera luna orion orpheus perseus stella zeus"},
}
_VOICE = re.compile(r"(aura(?:-2)?)-([a-z]{2,32})-([a-z]{2,3})")


def voices_of(family: str) -> tuple[Voice, ...]:
    """The voices of "aura-2" or "aura"."""
    return tuple(
        Voice(f"{family}-{name}-{language}", name.capitalize(), language)
        for language, names in _NAMES[family].items()
        for name in names.split()
    )


def is_voice(name: str) -> bool:
    """Whether a name is built like that of a voice: new ones need no new release of ours."""
    return _VOICE.fullmatch(name) is not None


def family_of(voice: str) -> str:
    """The family of a voice, by its name."""
    found = _VOICE.fullmatch(voice)
    return found[1] if found else ""


def controls(voice: str) -> bool:
    """Whether the voice can be told its pace, and how to pronounce a word."""
    found = _VOICE.fullmatch(voice)
    return found is not None and found[1] == "aura-2" and found[3] in ("en", "es")
