"""The words of the agreement grammar: everyday English, inflected by rule."""

from __future__ import annotations

from dataclasses import dataclass

from bequest.data.inflection import plural, present


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NOUNS = _words(
    """author artist baker boy brother captain chef child city company cousin customer dancer doctor dog
    driver engineer farmer father friend girl guard guest horse judge king lady lawyer leader man manager
    minister mother mouse neighbour nurse officer painter parent person pilot player poet prince queen
    runner sailor senator singer sister soldier student surgeon teacher thief uncle waiter wife witness
    wolf woman worker writer book box bridge bus car church clock computer country cup dish farm game
    garden glass key knife lamp leaf letter movie novel office picture plane river school ship shop song
    story table tower train tree wheel window"""
)
PEOPLE = NOUNS[: NOUNS.index("book")]
"""Nouns that can be the subject of verbs such as like, know and watch."""

INTRANSITIVE = _words(
    """arrive change disappear fall grow help improve laugh matter move return shine sleep smile stay stop
    swim travel wait work"""
)
TRANSITIVE = _words(
    """admire attract avoid carry catch cover enjoy fear find follow hate hide interest keep know like love
    need please protect remember see surprise touch want watch"""
)
RELATIVE = _words("admire avoid fear find follow hate know like love need remember see want watch")
LINKING = ("be", "seem", "look", "remain")

ADJECTIVES = _words(
    """bad big bright clean dark empty famous good green happy large loud new old popular quiet red small
    strange tall tired warm white young"""
)
ADVERBS = _words("""always certainly hardly never now often probably rarely really sometimes still usually""")
PREPOSITIONS = (
    *((word,) for word in _words("above behind beside beyond from near opposite with")),
    ("next", "to"),
    ("in", "front", "of"),
    ("close", "to"),
)
OPENINGS = (("today",), ("in", "fact"), ("of", "course"), ("these", "days"), ("as", "you", "know"))
DETERMINERS = ("the", "the", "the", "my", "our", "her", "their")
"""Determiners that do not reveal the number of their noun; repetition makes "the" more frequent."""

SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
PADDING, START, END, UNKNOWN = range(len(SPECIAL))


@dataclass(frozen=True)
class Verb:
    """A verb that can be the main one: its forms, and what follows it."""

    singular: str
    plural: str
    kind: str

    def form(self, number: int) -> str:
        """The form that agrees with a singular (0) or plural (1) subject."""
        return self.plural if number else self.singular


def noun_form(noun: str, number: int) -> str:
    """A noun in the singular (0) or plural (1)."""
    return plural(noun) if number else noun


VERBS = tuple(
    Verb(*present(verb), kind)
    for kind, verbs in (("alone", INTRANSITIVE), ("object", TRANSITIVE), ("quality", LINKING))
    for verb in verbs
)
"""The main verbs, each once."""

VOCABULARY = (
    *SPECIAL,
    *sorted(
        {form for noun in NOUNS for form in (noun, plural(noun))}
        | {form for verb in VERBS for form in (verb.singular, verb.plural)}
        | {form for verb in RELATIVE for form in present(verb)}
        | {word for phrase in (*PREPOSITIONS, *OPENINGS) for word in phrase}
        | {*ADJECTIVES, *ADVERBS, *DETERMINERS, "that", ",", "."}
    ),
)
"""Every word form of the grammar; the index is the token's id, and 0 is the padding."""
