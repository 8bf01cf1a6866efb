"""Filters of voices: what they let through, and what is said of those that cannot be understood."""

import pytest

from server.voice_filter import FilterError, parse_filter

MEMBERS = {
    "name": "name",
    "display_name": "name",
    "lang_code": "language",
    "tags": "tags",
    "gender": "gender",
}
FACTS = {
    "Dennis": {
        "name": ("dennis",),
        "language": ("en_us", "en"),
        "tags": ("calm", "male"),
        "gender": ("male",),
    },
    "Olivia": {"name": ("olivia",), "language": ("en_gb", "en"), "tags": ("bright",), "gender": ("female",)},
    "Inés": {"name": ("inés",), "language": ("es_es", "es"), "tags": (), "gender": ()},
    'Say "hi"': {"name": ('say "hi"',), "language": ("auto",), "tags": ("a or b",), "gender": ()},
}


def chosen(text: str) -> str:
    matches = parse_filter(text, MEMBERS, ("name",))
    return " ".join(name for name, facts in FACTS.items() if matches(facts))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", 'Dennis Olivia Inés Say "hi"'),
        ("  ", 'Dennis Olivia Inés Say "hi"'),
        ('lang_code = "en"', "Dennis Olivia"),
        ("lang_code=en", "Dennis Olivia"),
        ("lang_code = EN_GB", "Olivia"),
        ('lang_code != "en"', 'Inés Say "hi"'),
        ("display_name = 'DENNIS'", "Dennis"),
        ('name = "D*"', "Dennis"),
        ('name = "*s"', "Dennis Inés"),
        ('name = "*i*"', 'Dennis Olivia Inés Say "hi"'),
        ('name = "*"', 'Dennis Olivia Inés Say "hi"'),
        ('name = "d"', ""),
        ('name = "Say \\"hi\\""', 'Say "hi"'),
        ("name = 'Say \"hi\"'", 'Say "hi"'),
        ('name = "inés"', "Inés"),
        ("tags:calm", "Dennis"),
        ('tags:"a or b"', 'Say "hi"'),
        ("tags:br", "Olivia"),
        ("gender:*", "Dennis Olivia"),
        ('gender:"*"', ""),
        ("NOT gender:*", 'Inés Say "hi"'),
        ("-gender:*", 'Inés Say "hi"'),
        ("NOT NOT gender:*", "Dennis Olivia"),
        ("lang_code=en AND gender=male", "Dennis"),
        ("lang_code=en gender=male", "Dennis"),
        ("gender=male OR lang_code=es", "Dennis Inés"),
        # OR binds tighter than AND: (en) AND (male OR es), not (en AND male) OR es.
        ("lang_code=en AND gender=male OR lang_code=es", "Dennis"),
        ("(lang_code=en AND gender=male) OR lang_code=es", "Dennis Inés"),
        ("lang_code=en AND NOT (name=dennis OR name=nobody)", "Olivia"),
        ("lang_code=en -name=dennis", "Olivia"),
        ("oliv", "Olivia"),
        ('"OLIV" OR inés', "Olivia Inés"),
        ("name = or", ""),
        ("((((name=dennis))))", "Dennis"),
        ("lang_code = -en", ""),
    ],
)
def test_a_filter_lets_through_what_it_says(text: str, names: str) -> None:
    assert chosen(text) == names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("age = 3", "no member 'age'; there are name, display_name, lang_code, tags, gender"),
        ('"name" = x', "no member 'name'"),
        ("name < x", "'<' is not supported; there are =, != and :"),
        ("name >= x", "'>=' is not supported"),
        ("name =", 'expected a value such as "en", found its end'),
        ("name = )", "expected a value such as \"en\", found ')' at character 8"),
        ("(name = x", "expected ')', found its end"),
        ("name = x)", "expected AND, OR or the end, found ')' at character 9"),
        ("name = x OR", "found its end"),
        ("OR name = x", "found 'OR' at character 1"),
        ("name = x AND AND name = y", "found 'AND' at character 14"),
        ("NOT", "found its end"),
        ('name = "x', "'\"' at character 8 does not belong there; a text needs its closing quote"),
        ("name = x, name = y", "',' at character 9 does not belong there"),
        ("name ! x", "'!' at character 6 does not belong there"),
        ("= x", "found '=' at character 1"),
        ("(" * 17 + "name=x" + ")" * 17, "nested more than 16 deep"),
        ("NOT " * 17 + "name=x", "nested more than 16 deep"),
        (" ".join(["name=x"] * 65), "more than 64 comparisons"),
        ("x" * 1001, "longer than 1000 characters"),
    ],
)
def test_a_filter_that_cannot_be_understood_says_why(text: str, says: str) -> None:
    with pytest.raises(FilterError) as caught:
        chosen(text)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text", ["(" * 1000, "NOT " * 250, '"' + "\\" * 999, "-" * 1000, "*" * 1000, "a " * 500]
)
def test_a_hostile_filter_ends_at_once(text: str) -> None:
    with pytest.raises(FilterError):
        chosen(text + "=")
