"""Which words turn others round, and how far: `not good` is not good.

A negated word is another word to the model (`features`), so that `good` and `not … good` may mean
opposite things. Which words are negated is told by closed lists of negators, each with the reach
that its language gives it; the lists of all languages hold in every text, since the features are
what the language is told by. A scope never crosses a mark, an emoji or the text's end, and never
reaches further than `REACH_MAX` words.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

REACH_MAX: Final = 3


class Reach(NamedTuple):
    """How many words a negator turns round."""

    after: int
    before: int
    either: bool = False
    """`before` only where nothing of the clause follows (`gefällt mir nicht`), else `after`."""


FORWARD: Final = Reach(3, 0)
"""`not a good day`, `non mi piace`, `ga bagus`."""
NEXT: Final = Reach(2, 0)
"""Verbs and letters beside it: `не нравится`, `不喜欢`."""
AROUND: Final = Reach(2, 1)
"""French `pas`, Hindi `nahi`: the verb before it, the adjective behind it."""
CLAUSE: Final = Reach(3, 3, either=True)
"""`nicht gut`, but also `das mag ich nicht`."""
BACKWARD: Final = Reach(0, 2)
"""Turkish `değil`, Korean `않아`."""
TURN: Final = Reach(0, 0)
"""No negator: `not good but nice` ends its scope here."""

_VERB_LINE: Final = (
    "ain are ca could did do does had has have is must need should was were wo would might"
)
_VERBS: Final = tuple(dict.fromkeys(_VERB_LINE.split()))

REACHES: Final[dict[Reach, str]] = {
    FORWARD: (
        "not no never none nobody nothing hardly barely without cannot nor neva"  # en, pcm
        " nunca jamás jamas nada ningún ninguna ninguno sin tampoco nadie"  # es
        " jamais rien aucun aucune sans personne"  # fr
        " kein keine keinen keiner keinem nie niemals nichts ohne niemand"  # de
        " non mai nessun nessuno nessuna niente senza nulla"  # it
        " nem ninguém nenhum nenhuma sem"  # pt
        " tidak tak nggak ngga gak ga enggak bukan jangan belum tanpa kurang"  # id, ms
        " geen nooit zonder niks niemand"  # nl
        " nigdy żaden żadna bez nikt"  # pl
        " ingen inget inga aldrig utan"  # sv, no, da
        " hiç asla kimse"  # tr
        " không chẳng chưa đừng"  # vi
        " никто никогда ничего без ніколи нічого ніхто"  # ru, uk
        " لا ما مش لم لن ليس لست مو مب ولا بدون بلا محد"  # ar
        " nimic fără niciodată"  # ro
        " mesh mish mafeesh"  # Arabic in Latin letters
    ),
    NEXT: "не ни нет ні nie 不 没 沒 别 別 안 못",
    AROUND: "pas point nahi nahin nhi नहीं नही मत",
    CLAUSE: "nicht net não nao niet inte ikke",
    TURN: (
        "but because aber sondern pero mais mas porque però perché parce tapi ama maar ale men"
        " но але а потому لكن بس lekin 但"
    ),
    BACKWARD: "değil degil değilim değiliz 않아 않네 않아요 없어",
}


def negators() -> Iterator[tuple[str, Reach]]:
    """Every negator, each once, in a fixed order."""
    seen = set()
    for reach, words in REACHES.items():
        for word in words.split():
            if word not in seen:
                seen.add(word)
                yield word, reach
    for verb in _VERBS:
        yield from ((f"{verb}n{quote}t", FORWARD) for quote in ("'", "’", "`"))
        if verb not in ("wo", "ca", "need", "might", "must"):
            yield f"{verb}nt", FORWARD
    yield "cant", FORWARD
    yield "wont", FORWARD
