"""Word lists read from words/*.toml: nouns, scenes, and what captions may leave unsaid."""

import tomllib
from typing import Any

from captioner.files import asset


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(asset("captioner.questions", f"words/{name}"))


_nouns, _scenes, _absence = (_read(f"{name}.toml") for name in ("nouns", "scenes", "absence"))

NUMBERS: dict[str, int] = _nouns["numbers"]
COLOURS: dict[str, str] = _nouns["colours"]
LIKE_COLOURS = tuple(set(names) for names in _nouns["like_colours"])
PEOPLE: dict[str, str] = _nouns["people"]
KINDS_OF_PEOPLE: dict[str, str] = _nouns["kinds_of_people"]
ANIMALS: dict[str, str] = _nouns["animals"]
VEHICLES: dict[str, str] = _nouns["vehicles"]
NO_VEHICLES: str = _nouns["no_vehicles"]
FOODS: dict[str, str] = _nouns["foods"]
GARMENTS: dict[str, str] = _nouns["garments"]
OBJECTS: dict[str, str] = _nouns["objects"]
IRREGULAR: dict[str, str] = _nouns["irregular"]
ALWAYS_PLURAL = frozenset(_nouns["always_plural"])
NOT_REAL: str = _nouns["not_real"]

PLACES: dict[str, str] = _scenes["places"]
AT_PLACES: dict[str, str] = _scenes["at_places"]
VAGUE_PLACES = {place: set(others) for place, others in _scenes["vague_places"].items()}
SPORTS: dict[str, str] = _scenes["sports"]
ACTIONS: dict[str, str] = _scenes["actions"]
EXCLUSIVE = tuple(set(actions) for actions in _scenes["exclusive"])
RELATIONS: dict[str, tuple[str, tuple[str, ...], str]] = {
    name: (relation["verbs"], tuple(relation["prepositions"]), relation["kinds"])
    for name, relation in _scenes["relations"].items()
}
OTHER_VERBS: str = _scenes["other_verbs"]
FUNCTION_WORDS: str = _scenes["function_words"]
QUANTITIES = tuple(_scenes["quantities"])

ASKED_THINGS: dict[str, tuple[str, str]] = {
    name: (thing["phrase"], thing["unless"]) for name, thing in _absence["asked_things"].items()
}
