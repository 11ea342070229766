"""English inflection: plurals of nouns, and verbs in the present tense."""

from __future__ import annotations

VOWELS = "aeiou"
LEAST_IES = 4
"""Words in -ies up to this length come from -ie, not -y: dies, lies, ties."""

HISSING = ("s", "x", "z", "ch", "sh")

IRREGULAR_PLURALS = {
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "knife": "knives",
    "leaf": "leaves",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "thief": "thieves",
    "wife": "wives",
    "wolf": "wolves",
    "woman": "women",
}

IRREGULAR_VERBS = {"be": ("is", "are"), "have": ("has", "have"), "do": ("does", "do"), "go": ("goes", "go")}
"""Third person singular, and plural."""


def plural(noun: str) -> str:
    """The plural of a noun.

    >>> [plural(noun) for noun in ("key", "city", "church", "woman", "potato")]
    ['keys', 'cities', 'churches', 'women', 'potatoes']
    """
    return IRREGULAR_PLURALS.get(noun) or _with_s(noun)


def present(verb: str) -> tuple[str, str]:
    """The forms of a verb in the present tense: third person singular, and plural.

    >>> [present(verb)[0] for verb in ("know", "carry", "watch", "be", "enjoy")]
    ['knows', 'carries', 'watches', 'is', 'enjoys']
    """
    return IRREGULAR_VERBS.get(verb) or (_with_s(verb), verb)


def base_of(third: str) -> str | None:
    """The plural form of the verb with the third person singular ``third``; None if there is none.

    >>> [base_of(form) for form in ("knows", "carries", "watches", "is", "goes", "dog")]
    ['know', 'carry', 'watch', 'are', 'go', None]
    """
    for singular, form in IRREGULAR_VERBS.values():
        if third == singular:
            return form
    if third.endswith("ies") and len(third) > LEAST_IES:
        return third[:-3] + "y"
    if third.endswith(("ches", "shes", "xes", "sses", "zzes", "oes")):
        return third[:-2]
    return third[:-1] if third.endswith("s") and not third.endswith("ss") else None


def _with_s(word: str) -> str:
    if word.endswith(HISSING) or (word.endswith("o") and word[-2] not in VOWELS):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"
