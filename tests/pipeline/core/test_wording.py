"""What the last words of a text say about whether it is finished."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.wording import judge_wording
from tests.pipeline.core.spoken_sentences import SENTENCES, cuts

# --- cues ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cue", "words"),
    [
        ("I went to the store and", "conjunction", "and"),
        ("I went to the store, but then", "conjunction", "but then"),
        ("I would come because", "conjunction", "because"),
        ("She is older than", "conjunction", "than"),
        ("Okay so", "filler", "so"),
        ("I'd like a table for", "preposition", "for"),
        ("Where is the office of", "preposition", "of"),
        ("Turn on the lights in", "preposition", "in"),
        ("What is the", "article", "the"),
        ("Can I have a", "article", "a"),
        ("I lost my", "possessive", "my"),
        ("The meeting is", "auxiliary", "is"),
        ("The manager should", "auxiliary", "should"),
        ("I think I'm", "auxiliary", "i'm"),
        ("It does not", "auxiliary", "not"),
        ("Send a message that I", "subject", "i"),
        ("We stay at home if it", "subject", "if it"),
        ("The soup is very", "degree", "very"),
        ("I need a new", "degree", "a new"),
        ("I want, um", "filler", "um"),
        ("Well,", "filler", "well"),
        ("it was, you know", "filler", "you know"),
        ("Let me think", "filler", "let me think"),
        ("My name is", "lead-in", "my name is"),
        ("I'd like to", "lead-in", "i'd like to"),
        ("Okay, I want", "lead-in", "i want"),
        ("I think", "lead-in", "i think"),
        ("There is", "lead-in", "there is"),
        ("Can you", "question", "can you"),
        ("Okay, could you please", "question", "could you please"),
        ("What should I", "question", "should i"),
        ("How long does it", "question", "does it"),
        ("Do you know", "question", "do you know"),
        ("Is there", "question", "is there"),
        ("Do you know if", "conjunction", "if"),
        ("If the weather is nice on Sunday", "condition", "if"),
        ("When I get home", "condition", "when"),
        ("First I want to know the price", "list", "first"),
        ("I was there yesterday,", "comma", ""),
        ("I was there yesterday...", "ellipsis", ""),
        ("I was there yesterday…", "ellipsis", ""),
        ("I was there yesterday -", "dash", ""),
    ],
)
def test_what_lacks_its_successor_is_open(text: str, cue: str, words: str) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue, wording.words) == ("open", cue, words)


@pytest.mark.parametrize("text", ["What is the", "I went to the store and", "My name is", "We should", "Um"])
def test_the_full_stop_of_a_transcriber_changes_nothing(text: str) -> None:
    assert judge_wording(text + ".") == judge_wording(text)


@pytest.mark.parametrize(
    "text",
    [
        "I think so",
        "Turn it on",
        "Turn the volume down",
        "Please log in",
        "What are you looking for",
        "Who are you talking to",
        "I have nothing to worry about",
        "Where are you",
        "How is she",
        "I know where it is",
        "That's all I need",
        "How many do you want",
        "Yes I do",
        "No I can't",
        "I hope not",
        "You and I",
        "Once in a while",
        "What would you like",
        "Is there a flight in May",
        "I did it",
        "What is it",
        "Of course I know who you are",
        "When is it",
        "If it rains we stay at home",
        "Where are you from",
        "It is 5 p.m",
        "Paris",
    ],
)
def test_what_may_end_there_is_not_open(text: str) -> None:
    assert judge_wording(text).kind != "open"
    assert judge_wording(text + ".").kind != "open"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Yes",
            "No.",
            "no thanks",
            "Okay.",
            "Stop",
            "Thank you very much.",
            "Yes, please.",
            "no no no",
            "Bye bye!",
        ),
        *(
            "I don't know.",
            "Yeah, sure, sounds good",
            "That's all.",
            "okay thank you",
            "Never mind",
            "Got it",
        ),
    ],
)
def test_short_answers_are_complete(text: str) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue) == ("complete", "answer")


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("What time is it?", "question mark"),
        ("And what are they for?", "question mark"),
        ("What a day!", "exclamation mark"),
        ("I'd like a coffee, please", "closing"),
        ("Call me back tomorrow.", "closing"),
        ("I would like a coffee with milk.", "clause"),
    ],
)
def test_marks_and_closing_words_make_complete(text: str, cue: str) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue) == ("complete", cue)


@pytest.mark.parametrize("text", ["What is the?", "And my?", "Can you?", "I'd like to?", "Um?"])
def test_a_question_mark_does_not_complete_what_lacks_a_word(text: str) -> None:
    assert judge_wording(text).kind == "open"


def test_only_the_last_sentence_counts() -> None:
    assert judge_wording("What is the. Yes.").cue == "answer"
    assert judge_wording("That is fine. And the").cue == "article"
    assert judge_wording("I spoke with Dr. Miller and").cue == "conjunction"


# --- what is dictated ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("My number is five five five", 3),
        ("it's 4 1 5", 3),
        ("My phone number is 415", 3),
        ("My phone number is 415 555", 6),
        ("415-555", 6),
        ("415-555-01", 8),
        ("You can reach me at four one five, five five five", 6),
        ("The card number is 4111 1111", 8),
        ("4111 1111 1111", 12),
        ("4111-1111-1111-11", 14),
        ("My pin is one two", 2),
        ("The security code of my card is 12", 2),
        ("The verification code is 48", 2),
        ("my zip code is nine oh", 2),
        ("double five three oh", 4),
        ("It ends in 42", 2),
        ("My number is zero one seven.", 3),
        ("My order number is 4 7", 2),
        ("Meine Telefonnummer ist null eins sieben", 3),
        ("mi número es seis uno dos", 3),
        ("mon numéro est zéro six", 2),
    ],
)
def test_digits_are_still_coming(text: str, count: int) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue, wording.count) == ("open", "digits", count)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("My number is 415-555-0199.", 10),
        ("four one five five five five oh one nine nine", 10),
        ("(415) 555-0199", 10),
        ("1 415 555 0199", 11),
        ("4111 1111 1111 1111", 16),
        ("My pin is 4 8 1 5", 4),
        ("The verification code is 481 516", 6),
        ("my zip code is nine oh two one oh", 5),
        ("the card ends in four two four two", 4),
        ("My phone number is triple five oh one nine nine oh one two", 10),
    ],
)
def test_all_digits_are_there(text: str, count: int) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue, wording.count) == ("complete", "digits", count)


@pytest.mark.parametrize(
    "text",
    [
        "I have two",
        "At five thirty",
        "Call me at 5 30",
        "in 1995",
        "It costs $50",
        "about 1,000",
        "It is 3.14",
        "one two three",
        "Wake me at seven",
        "My phone is an iPhone 15",
        "The first one",
        "I take this one",
        "about 50 %",
        "Set the volume to 8",
        "the answer is 415",
        "I need vitamin C",
        "I take plan A",
        "My number is +49 30 1234 5678",
        "Made in the U.S.A.",
        "At 5 p.m.",
    ],
)
def test_other_numbers_are_not_waited_for(text: str) -> None:
    assert judge_wording(text).kind != "open"


@pytest.mark.parametrize(
    "text",
    [
        "S M I",
        "It's spelled J O",
        "j-o-h",
        "B as in",
        "B as in boy",
        "b for boy",
        "double u",
        "A B 1 2",
        "spelled K",
    ],
)
def test_letters_are_still_coming(text: str) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue) == ("open", "spelling")


# --- languages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cue"),
    [
        ("Ich möchte einen Tisch für", "preposition"),
        ("Ich komme morgen und", "conjunction"),
        ("Wo ist die", "article"),
        ("Ich habe mein", "possessive"),
        ("Mein Name ist", "lead-in"),
        ("Können Sie", "question"),
        ("Das Wetter ist sehr", "degree"),
        ("Ich komme, ähm", "filler"),
        ("Quiero una mesa para", "preposition"),
        ("No puedo ir porque", "conjunction"),
        ("¿Dónde está la", "article"),
        ("Me llamo", "lead-in"),
        ("¿Puedes", "question"),
        ("Je voudrais une table pour", "preposition"),
        ("Je ne viens pas parce que", "conjunction"),
        ("Où est la", "article"),
        ("Je m'appelle", "lead-in"),
        ("Est-ce que", "question"),
        ("Vorrei un tavolo per", "preposition"),
        ("Non posso venire perché", "conjunction"),
        ("Mi chiamo", "lead-in"),
        ("Dove posso comprare il", "article"),
        ("Quero uma mesa para", "preposition"),
        ("Não posso ir porque", "conjunction"),
        ("Meu nome é", "lead-in"),
        ("Você pode", "question"),
    ],
)
def test_other_languages_are_known_by_their_words(text: str, cue: str) -> None:
    wording = judge_wording(text)

    assert (wording.kind, wording.cue) == ("open", cue)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Ja.",
            "Nein danke",
            "Vielen Dank.",
            "Sí, por favor",
            "No, gracias.",
            "Oui",
            "Non merci",
            "D'accord",
        ),
        *("Sì", "Va bene, grazie", "Sim", "Não, obrigado", "Tudo bem"),
    ],
)
def test_short_answers_in_other_languages_are_complete(text: str) -> None:
    assert judge_wording(text).kind == "complete"


@pytest.mark.parametrize(
    "text",
    [
        "Ich rufe dich morgen an",
        "Mach das Licht aus",
        "Ich weiß, wo er ist",
        "Ich habe keine Zeit",
        "Apaga la luz de la cocina",
        "¿Qué hora es",
        "Je ne sais pas où il est",
        "Allume la lumière",
        "Non lo so",
        "Accendi la luce in cucina",
        "Acende a luz da cozinha",
    ],
)
def test_whole_sentences_in_other_languages_are_not_open(text: str) -> None:
    assert judge_wording(text).kind != "open"


@pytest.mark.parametrize(
    "text", ["Mam na imię i", "Я хочу и", "我想要一个", "Minun nimeni on ja", "Θέλω να και", "xyzzy plugh"]
)
def test_of_other_languages_nothing_is_said(text: str) -> None:
    assert judge_wording(text).kind == "unknown"


def test_marks_mean_the_same_in_every_language() -> None:
    assert judge_wording("Который час?").cue == "question mark"
    assert judge_wording("今日は何時ですか？").cue == "question mark"
    assert judge_wording("我想要，").cue == "comma"
    assert judge_wording("Я хочу…").cue == "ellipsis"


def test_the_language_may_be_given() -> None:
    assert judge_wording("no", "en").cue == "answer"
    assert judge_wording("die", "de-DE").cue == "article"
    assert judge_wording("die", "en").kind == "unknown"
    assert judge_wording("I want the", "pl").kind == "unknown"


# --- limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", " ", "...", "?", "\n\t", "🙂", "\ud800", "'", "’", "\u0301", "1" * 10_000, " " * 10_000]
)
def test_where_there_are_no_words_nothing_is_said(text: str) -> None:
    assert judge_wording(text).kind == "unknown"


@given(st.text(max_size=400), st.none() | st.text(max_size=8))
def test_any_text_is_judged(text: str, language: str | None) -> None:
    wording = judge_wording(text, language)

    assert (wording.cue is None) == (wording.kind == "unknown")


@given(
    st.lists(
        st.sampled_from(["and", "the", "can", "you", "5", "five", "B", "-", ",", ". ", "?", "um", "…", "no"])
    )
)
def test_any_jumble_of_cues_is_judged(parts: list[str]) -> None:
    wording = judge_wording(" ".join(parts))

    assert wording == judge_wording(" ".join(parts))
    assert wording.count <= 24 * 24


def test_only_the_end_of_a_long_text_is_looked_at() -> None:
    assert judge_wording("many words " * 100_000 + "and the").cue == "article"
    assert judge_wording("and the " + "x" * 1_000_000).kind == "unknown"


@given(st.text(alphabet="abcdefgh ,.'", max_size=60))
def test_what_is_told_is_never_the_speakers_own(text: str) -> None:
    told = judge_wording(f"My secret is {text} and the")

    assert told.words == "the"


def test_apostrophes_may_be_typographic() -> None:
    assert judge_wording("I think I’m").words == "i'm"
    assert judge_wording("Je voudrais l’").cue == "article"


@pytest.mark.parametrize("text", ['"Yes, please."', "‘No thanks’", "“Stop”", "(okay)"])
def test_quotation_marks_do_not_matter(text: str) -> None:
    assert judge_wording(text).cue == "answer"


# --- sentences, cut at each word -------------------------------------------------------------------------


def counted(which: str, mark: str) -> Counter[tuple[str, str]]:
    """How often (what the text is, what it was taken for) occurred."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in SENTENCES[which]:
        counts["whole", judge_wording(line.replace("*", "") + mark).kind] += 1
        for text, is_open in cuts(line):
            counts["cut" if is_open else "possible", judge_wording(text + mark).kind] += 1
    return counts


def share(counts: Counter[tuple[str, str]], actual: str, taken_for: str) -> float:
    return counts[actual, taken_for] / sum(n for (kind, _), n in counts.items() if kind == actual)


def test_there_are_enough_sentences_to_count_by() -> None:
    known, new = counted("known", ""), counted("new", "")

    assert sum(n for (kind, _), n in known.items() if kind == "cut") > 500
    assert sum(n for (kind, _), n in new.items() if kind == "cut") > 150
    assert known["whole", "unknown"] + new["whole", "unknown"] > 100


@pytest.mark.parametrize(("which", "stopped"), [("known", 0.04), ("new", 0.1)])
def test_hardly_any_cut_is_taken_for_complete(which: str, stopped: float) -> None:
    assert share(counted(which, ""), "cut", "complete") <= 0.01
    assert share(counted(which, "."), "cut", "complete") <= stopped  # which is why a full stop adds little


@pytest.mark.parametrize("which", ["known", "new"])
@pytest.mark.parametrize("mark", ["", "."])
def test_most_cuts_are_seen_to_be_open(which: str, mark: str) -> None:
    assert share(counted(which, mark), "cut", "open") >= 0.75


@pytest.mark.parametrize("which", ["known", "new"])
@pytest.mark.parametrize("mark", ["", ".", "?"])
def test_what_is_whole_is_not_taken_for_open(which: str, mark: str) -> None:
    assert share(counted(which, mark), "whole", "open") == 0.0
    assert share(counted(which, mark), "possible", "open") <= 0.1
