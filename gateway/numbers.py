"""Numbers as people write them → E.164, by Google's metadata; national ones belong to the configured region."""

from __future__ import annotations

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from translators.from_http import FieldError
from translators.identifiers import Identifier, parse_identifier, parse_phone

_WHY_NOT = {
    NumberParseException.INVALID_COUNTRY_CODE: "has no country code that exists",
    NumberParseException.NOT_A_NUMBER: "is not a number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "is too short",
    NumberParseException.TOO_SHORT_NSN: "is too short",
    NumberParseException.TOO_LONG: "is too long",
}
_WRONG_LENGTH = {
    ValidationResult.TOO_SHORT: "is too short for its country",
    ValidationResult.TOO_LONG: "is too long for its country",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "has no area code",
    ValidationResult.INVALID_COUNTRY_CODE: "has no country code that exists",
    ValidationResult.INVALID_LENGTH: "has not as many digits as numbers of its country",
}

EXAMPLE = "a whole number is like +4915112345678"


def is_region(code: str) -> bool:
    """Tell whether it is a region with numbers of its own (ISO 3166-1, two capital letters)."""
    return code in phonenumbers.SUPPORTED_REGIONS


def read_number(text: str, region: str = "", *, field: str = "phone") -> Identifier:
    """Return a number in E.164; one without country code is of ``region``. Raises FieldError, which names ``field``.

    Only country code and length are checked: labs use ranges that no operator has been given.
    """
    text = text.strip()
    if not region and text.startswith("00"):
        text = "+" + text[2:]
    if not region and not text.startswith("+"):
        raise FieldError(field, f"is not a number with country code; {EXAMPLE}")
    try:
        number = phonenumbers.parse(text, region or None)
    except NumberParseException as error:
        raise FieldError(field, f"{_WHY_NOT[error.error_type]}; {EXAMPLE}") from None
    length = phonenumbers.is_possible_number_with_reason(number)
    if length != ValidationResult.IS_POSSIBLE:
        raise FieldError(field, f"{_WRONG_LENGTH[length]}; {EXAMPLE}")
    found = parse_phone(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    if number.extension or found is None:
        raise FieldError(field, f"is not a number that a message can be sent to; {EXAMPLE}")
    return found


def read_identifier(text: str, region: str = "") -> Identifier | None:
    """Read an e-mail address, a SIP or tel URI, or a number as :func:`read_number` does; None when it is no such."""
    if "@" in text or ":" in text:
        return parse_identifier(text)
    try:
        return read_number(text, region)
    except FieldError:
        return None
