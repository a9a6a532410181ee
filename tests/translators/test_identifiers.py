import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipstack.sip.uri import Uri
from translators.identifiers import (
    Identifier,
    Kind,
    TemplateError,
    account_uri,
    check_template,
    identity,
    parse_domain,
    parse_email,
    parse_identifier,
    parse_phone,
)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("b@cc.com", Kind.EMAIL, "b@cc.com"),
        ("B.Smith+x@CC.Com", Kind.EMAIL, "B.Smith+x@cc.com"),
        ("b@bücher.example", Kind.EMAIL, "b@xn--bcher-kva.example"),
        ("+49 (151) 123-45.678", Kind.PHONE, "+4915112345678"),
        ("004915112345678", Kind.PHONE, "+4915112345678"),
        ("tel:+4915112345678;phone-context=x", Kind.PHONE, "+4915112345678"),
        ("sip:A@CC.com;user=phone", Kind.SIP, "sip:A@cc.com"),
        ("SIPS:a@cc.com", Kind.SIP, "sips:a@cc.com"),
    ],
)
def test_identifiers(text: str, kind: Kind, value: str) -> None:
    assert parse_identifier(text) == Identifier(kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "@cc.com",
        "b@",
        "b@-x.com",
        "b..c@cc.com",
        ".b@cc.com",
        "b c@cc.com",
        '"b"@cc.com',
        "b@cc.com\r\nBcc: x@y",
        "b@cc\n.com",
        "x" * 65 + "@cc.com",
        "b@" + "x." * 130 + "com",
        "b@" + "x" * 64 + ".com",
        "b@[192.0.2.1]",
        "+49",
        "+0151123456789",
        "4915112345678",
        "+1234567890123456",
        "+49151\r\n12345678",
        "sip:",
        "sip:cc.com",
        "sip:a@cc.com?To=x",
        "tel:",
    ],
)
def test_no_identifiers(text: str) -> None:
    assert parse_identifier(text) is None


def test_same_person() -> None:
    one, other = parse_email("B@cc.com"), parse_email("b@CC.com")
    assert one is not None and other is not None
    assert (one.key, str(one)) == (other.key, "B@cc.com")
    phone = parse_phone("+4915112345678")
    assert phone is not None
    assert phone.key == phone.value


def test_domain() -> None:
    assert parse_domain("CC.com") == "cc.com"
    assert parse_domain("") is None
    assert parse_domain("a..b") is None


@pytest.mark.parametrize(
    ("user", "meant"),
    [
        ("a", "a"),
        ("a@CC.com", "sip:a@cc.com"),
        ("SIP:a@cc.com", "sip:a@cc.com"),
        ("sips:a@cc.com", "sips:a@cc.com"),
        ("tel:+4915112345678", "tel:+4915112345678"),
        ("+4915112345678", "tel:+4915112345678"),
        ("+4915112345678@CC.com", "sip:+4915112345678@cc.com"),
        ("x:y", "x:y"),
    ],
)
def test_identity(user: str, meant: str) -> None:
    assert identity(user) == meant
    assert identity(meant) == meant


NAMINGS = ["derived", "identifier"]
EMAIL = Identifier(Kind.EMAIL, "B.Smith@cc.com")
PHONE = Identifier(Kind.PHONE, "+4915112345678")


@pytest.mark.parametrize(
    ("naming", "identifier", "account"),
    [
        ("derived", EMAIL, "sip:b.smith.cc.com-7f3k@ims.example"),
        ("derived", PHONE, "sip:4915112345678-7f3k@ims.example"),
        ("identifier", EMAIL, "sip:b.smith.cc.com-7f3k@ims.example"),
        ("identifier", Identifier(Kind.EMAIL, "b@ims.example"), "sip:b@ims.example"),
        ("identifier", Identifier(Kind.EMAIL, "b@served.example"), "sip:b@served.example"),
        ("identifier", PHONE, "sip:+4915112345678@ims.example"),
        ("phone", PHONE, "sip:+4915112345678@ims.example"),
        ("phone", EMAIL, "sip:b.smith.cc.com-7f3k@ims.example"),
        ("serial", EMAIL, "sip:guest-000042@ims.example"),
    ],
)
def test_account_names(naming: str, identifier: Identifier, account: str) -> None:
    assert (
        account_uri(
            identifier, naming=naming, realm="ims.example", random="7f3k", serial=42, served=("served.example",)
        )
        == account
    )


def test_account_template() -> None:
    uri = account_uri(
        EMAIL,
        naming="derived",
        realm="ims.example",
        random="7",
        serial=1,
        prefix="p",
        template="{prefix}.{domain}-{serial}",
    )
    assert uri == "sip:p.cc.com-000001@ims.example"


def test_the_mission_has_its_account() -> None:
    identifier = parse_email("b@cc.com")
    assert identifier is not None
    assert account_uri(identifier, naming="identifier", realm="cc.com", random="x", serial=1) == "sip:b@cc.com"


@settings(max_examples=100)
@given(
    st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}", fullmatch=True), st.sampled_from(["derived", "identifier"])
)
def test_account_names_are_uris(local: str, naming: str) -> None:
    """Whatever an e-mail address may hold, the account's URI can be parsed and says the same again."""
    identifier = parse_email(f"{local}@cc.com")
    assert identifier is not None
    uri = account_uri(identifier, naming=naming, realm="cc.com", random="7f3k", serial=1)
    assert str(Uri.parse(uri)) == uri


@pytest.mark.parametrize("template", ["{random}-{user}", "x{serial}"])
def test_good_template(template: str) -> None:
    check_template(template)


@pytest.mark.parametrize("template", ["{", "{nobody}", "{user.__class__}", "same", "{0}", "{domain}"])
def test_bad_template(template: str) -> None:
    with pytest.raises(TemplateError):
        check_template(template)
