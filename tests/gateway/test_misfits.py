"""Bodies that do not fit: what the client is told names the field and says nothing of Python."""

from __future__ import annotations

import msgspec
import pytest

from gateway.misfits import in_words
from translators import xml
from translators.model import Body, InviteRequest, MessageRequest


@pytest.mark.parametrize(
    ("model", "body", "detail", "field"),
    [
        (InviteRequest, b'{"valid_for": -1}', "valid_for has to be more than 0.", "valid_for"),
        (InviteRequest, b'{"valid_for": 1e30}', "valid_for has to be at most 315360000.", "valid_for"),
        (InviteRequest, b'{"valid_for": "1 h"}', "valid_for has to be a number, not text.", "valid_for"),
        (InviteRequest, b'{"email": ["b@cc.com"]}', "email has to be text, not a list.", "email"),
        (InviteRequest, b'{"email": ""}', "email is empty.", "email"),
        (InviteRequest, b'{"language": "e"}', "language has to have at least 2 characters.", "language"),
        (InviteRequest, b'{"types": []}', "types is empty.", "types"),
        (InviteRequest, b'{"types": ["im", "tv"]}', "types[1] cannot be 'tv'.", "types[1]"),
        (MessageRequest, b'{"to": "a"}', "message is missing.", "message"),
        (MessageRequest, b"[]", "The body has to be an object, not a list.", None),
        (
            InviteRequest,
            b"<invite><valid_for>soon</valid_for></invite>",
            "valid_for has to be a number, not text.",
            "valid_for",
        ),
        (InviteRequest, b"<invite><phone>1</phone><phone>2</phone></invite>", "There is more than one <phone>.", None),
    ],
)
def test_words(model: type[Body], body: bytes, detail: str, field: str | None) -> None:
    with pytest.raises((msgspec.ValidationError, xml.XmlInvalid)) as caught:
        xml.decode(body, model) if body.startswith(b"<") else msgspec.json.decode(body, type=model)
    assert in_words(str(caught.value)) == (detail, field)


def test_fields_below_others() -> None:
    assert in_words("Object missing required field `x` - at `$.y[0]`") == ("y[0].x is missing.", "y[0].x")
    assert in_words("Expected `float` >= 0.5 - at `$.x`") == ("x has to be at least 0.5.", "x")
    assert in_words("something new - at `$.x`") == ("Something new.", "x")
