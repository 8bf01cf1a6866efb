"""Human speech from inside packages: which stretch of which file is a turn, what is said, where words end.

Times were found by energy and, for the borders of words, by an aligner, and looked at where a speech detector
disagreed: breath and laughter behind the last word are left out. Transcripts were checked against what a
recogniser makes of each stretch. A turn counts as complete where its words make a whole sentence and the
recording of it stops there; tone and punctuation of the source were not asked.

- `moonshine-voice` (installed): readings of Beckett and Dickens and a dialogue from "Endgame"; MIT.
- `pocketsphinx` (source distribution, fetched once, 34 MB): its test recordings, among them LibriVox (public
  domain), commands, cards, digits, and a stretch of a meeting; BSD-2-Clause. They are read where they were
  unpacked and go nowhere else.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.turns.audio import Samples, read
from benchmarks.turns.environment import UnavailableError, unpacked
from providers.weights import wheel_file

__all__ = ["LINES", "Line", "Sources"]

_POCKETSPHINX = ("5.1.1", "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355")
_FILES = {
    "beckett": "moonshine:assets/beckett.wav",
    "cities": "moonshine:assets/two_cities.wav",
    "endgame": "moonshine:assets/endgame_nagg_nell.wav",
    "sense-870": "sphinx:test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav",
    "sense-880": "sphinx:test/data/librivox/sense_and_sensibility_01_austen_64kb-0880.wav",
    "sense-890": "sphinx:test/data/librivox/sense_and_sensibility_01_austen_64kb-0890.wav",
    "sense-920": "sphinx:test/data/librivox/sense_and_sensibility_01_austen_64kb-0920.wav",
    "sense-930": "sphinx:test/data/librivox/sense_and_sensibility_01_austen_64kb-0930.wav",
    "forward": "sphinx:test/data/goforward.raw",
    "something": "sphinx:test/data/something.raw",
    "numbers": "sphinx:test/data/numbers.raw",
    "digits": "sphinx:test/data/tidigits/dhd.2934z.raw",
    "forever-2": "sphinx:test/data/forever/input_2_16k.wav",
    "forever-4": "sphinx:test/data/forever/input_4_16k.wav",
    "card-1": "sphinx:test/data/cards/001.wav",
    "card-2": "sphinx:test/data/cards/002.wav",
    "card-3": "sphinx:test/data/cards/003.wav",
    "card-4": "sphinx:test/data/cards/004.wav",
    "card-5": "sphinx:test/data/cards/005.wav",
    "meeting": "sphinx:test/regression/chan3.wav",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A turn inside a file. Times are in ms from the start of the file."""

    file: str
    start: int
    end: int
    text: str
    splits: tuple[int, ...] = ()  # borders of words at which nobody can have finished
    digits: bool = False
    pauses: bool = False  # the speaker pauses inside of it
    then: "Line | None" = None  # follows without a break in the reading, from the next file


_ILL = Line(
    "sense-890", 230, 5240, "unless to be rather cold hearted and rather selfish is to be ill disposed."
)
_MIGHT = Line("sense-930", 210, 3230, "He might even have been made amiable himself.")

LINES = (
    Line("beckett", 300, 1220, "Ever tried."),
    Line("beckett", 1850, 2830, "Ever failed."),
    Line("beckett", 3490, 4230, "No matter."),
    Line("beckett", 4860, 5610, "Try again."),
    Line("beckett", 6620, 7430, "Fail again."),
    Line("beckett", 8130, 8910, "Fail better."),
    Line("endgame", 100, 900, "Do you hear me?", (350,)),
    Line("endgame", 1590, 1820, "Yes."),
    Line("endgame", 4850, 8030, "We laugh less heartily, so we have still that resource.", (6390, 7140)),
    Line("endgame", 12000, 13990, "No, not heartily, just less heartily."),
    Line("endgame", 14670, 15680, "Oh, that's a good story.", (14970,)),
    Line("endgame", 17610, 18800, "What are you talking about?"),
    Line("endgame", 20430, 21890, "Guess what you were in pain."),
    Line("endgame", 22540, 23110, "Not now."),
    Line("endgame", 25060, 27380, "I went and fetched you from that ditch.", (25730, 26990)),
    Line("cities", 18960, 20480, "It was the winter of despair.", (19850,)),
    Line("cities", 24640, 26050, "We were all going direct to heaven.", (25590,)),
    Line("cities", 26550, 28300, "We were all going direct the other way.", (27770,)),
    Line(
        "sense-870",
        230,
        6800,
        "And Mister John Dashwood had then leisure to consider how much there might be "
        "prudently in his power to do for them.",
        (2890, 5460),
    ),
    Line("sense-880", 230, 2920, "He was not an ill disposed young man.", (2110,)),
    Line(
        "sense-920",
        230,
        5900,
        "Had he married a more amiable woman, he might have been made still more respectable than he was.",
        (2490, 4250),
    ),
    Line("sense-930", 210, 3230, "He might even have been made amiable himself.", (1700,)),
    Line("forward", 480, 2260, "Go forward ten meters."),
    Line("something", 440, 2480, "Go somewhere and do something.", (1350,)),
    Line("forever-2", 150, 3280, "Feels like these days go on forever.", (1000,)),
    Line("card-1", 0, 1090, "Ten of clubs."),
    Line("card-3", 60, 1540, "Seven of clubs."),
    Line("card-4", 100, 1330, "Five, five."),
    Line("meeting", 8200, 9650, "Morgan wants to make it hard.", (8870,)),
    Line("meeting", 17120, 19480, "I didn't even check yesterday whether it was moving.", (18550,)),
    # pauses of the speakers' own
    Line(
        "cities",
        1180,
        28300,
        "It was the best of times, it was the worst of times, it was the age of wisdom, it "
        "was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
        "season of light, it was the season of darkness, it was the spring of hope, it was the winter of "
        "despair, we had everything before us, we had nothing before us, we were all going direct to heaven, "
        "we were all going direct the other way.",
        pauses=True,
    ),
    Line(
        "cities",
        29080,
        41680,
        "In short, the period was so far like the present period, that some of its "
        "noisiest authorities insisted on its being received, for good or for evil, in the superlative "
        "degree of comparison only.",
        pauses=True,
    ),
    Line("endgame", 8740, 11340, "Laugh less heartily, so we have still that resource.", pauses=True),
    Line(
        "endgame",
        23770,
        27380,
        "Do you remember the day I went and fetched you from that ditch?",
        pauses=True,
    ),
    Line("sense-880", 230, 2990, "He was not an ill disposed young man,", pauses=True, then=_ILL),
    Line(
        "sense-920",
        230,
        6050,
        "Had he married a more amiable woman, he might have been made still more respectable than he was:",
        pauses=True,
        then=_MIGHT,
    ),
    Line("forever-4", 720, 4900, "Feels like these days go on forever.", pauses=True),
    Line("card-2", 0, 1880, "Four queen of clubs.", pauses=True),
    Line(
        "meeting",
        220,
        6350,
        "Yeah, we had a long discussion about how much, how easy we want to make it for "
        "people to bleep things out.",
        pauses=True,
    ),
    # figures
    Line("numbers", 340, 3340, "Thirty three four six ninety two.", (1190, 1930, 2380), digits=True),
    Line("digits", 240, 1660, "Two nine three four zero.", (650, 1130), digits=True),
    Line("card-5", 190, 3320, "Eight of spades, four of clubs, seven of hearts.", (1240, 2210), digits=True),
)


class Sources:
    """The files behind the lines, as far as they can be had; `missing` says what cannot, and why."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self._folder: Path | None = None
        self._read: dict[str, Samples] = {}
        try:
            self._folder = unpacked("pocketsphinx", *_POCKETSPHINX)
        except UnavailableError as error:
            self.missing.append(f"pocketsphinx: {error}")

    def lines(self) -> list[Line]:
        """Those whose recordings are there."""
        return [line for line in LINES if self._folder or _FILES[line.file].startswith("moonshine:")]

    def samples(self, file: str) -> Samples:
        if file not in self._read:
            package, _, path = _FILES[file].partition(":")
            if package == "moonshine":
                self._read[file] = read(wheel_file("moonshine_voice", path))
            else:
                assert self._folder is not None
                self._read[file] = read(self._folder / path)
        return self._read[file]
