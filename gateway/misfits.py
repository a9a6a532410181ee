"""Why a value does not fit its model, in words for who wrote it: msgspec speaks of Python's types."""

from __future__ import annotations

import re

_AT = re.compile(r" - at `\$\.?([^`]*)`$")
_TYPE = re.compile(r"Expected `(\w+)(?: \| null)?`, got `(\w+)`")
_BOUND = re.compile(r"Expected `\w+` (>=|<=|>|<) ([-+.\de]+)")
_LENGTH = re.compile(r"Expected `(str|array)` of length (>=|<=) (\d+)")
_VALUE = re.compile(r"Invalid enum value (.+)")
_MISSING = re.compile(r"Object missing required field `(\w+)`")

_NOUNS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_BOUNDS = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most"}
_PARTS = {"str": "characters", "array": "entries"}


def in_words(text: str) -> tuple[str, str | None]:
    """Return a sentence, and the field that it is about, for what msgspec or ``translators.xml`` say of a body.

    A text of another form stays as it is.
    """
    at = _AT.search(text)
    field = at[1] if at else ""
    text = _AT.sub("", text)
    if found := _MISSING.fullmatch(text):
        field = f"{field}.{found[1]}".removeprefix(".")
        return f"{field} is missing.", field
    words = misfit(text)
    if words is None:
        return f"{text[:1].upper()}{text[1:]}.", field or None
    return f"{field or 'The body'} {words}.", field or None


def misfit(text: str) -> str | None:
    """Return what is wrong with a value, as msgspec says it; None where the text is of no known form."""
    if found := _TYPE.fullmatch(text):
        wanted, got = found.groups()
        return f"has to be {_NOUNS.get(wanted, wanted)}, not {_NOUNS.get(got, got)}"
    if found := _BOUND.fullmatch(text):
        return f"has to be {_BOUNDS[found[1]]} {_number(found[2])}"
    if found := _LENGTH.fullmatch(text):
        kind, bound, length = found.groups()
        return "is empty" if (bound, length) == (">=", "1") else f"has to have {_BOUNDS[bound]} {length} {_PARTS[kind]}"
    if found := _VALUE.fullmatch(text):
        return f"cannot be {found[1]}"
    return None


def _number(text: str) -> str:
    value = float(text)
    return str(int(value)) if value.is_integer() else text
