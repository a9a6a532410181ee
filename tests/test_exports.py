"""Public names stay where they are, and every module can be imported first."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = ("sipstack", "translators", "gateway")

PUBLIC = {
    "sipstack.errors": [
        "ConnectionClosed",
        "LocalProtocolError",
        "MessageTooLarge",
        "ParseError",
        "RemoteProtocolError",
        "RequestFailed",
        "SipstackError",
        "TransactionTimeout",
        "UnexpectedMessage",
    ],
    "sipstack.flow": ["Flow", "HostPort"],
    "sipstack.ids": ["branch", "call_id", "contact_token", "instance_id", "msrp_session_id", "tag", "trace_id"],
}
"""Module → names that others write programs with. Removing one is a change for CHANGELOG.md."""

IMPORT_EACH_FIRST = """
import importlib, sys
failed = []
for name in sys.argv[1:]:
    for loaded in [m for m in sys.modules if m.partition(".")[0] in {packages!r}]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{{name}}: {{type(error).__name__}}: {{error}}")
print("\\n".join(failed))
"""


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        names.append(package)
        paths = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.walk_packages(paths, package + ".")]
    return [name for name in names if not name.endswith("__main__")]


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names_are_there(module: str) -> None:
    there = importlib.import_module(module)
    assert [name for name in PUBLIC[module] if not hasattr(there, name)] == []


def test_every_module_can_be_imported_first() -> None:
    """A circular import only hurts whoever comes in by the wrong door; so each module is tried as the door."""
    script = IMPORT_EACH_FIRST.format(packages=PACKAGES)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *modules()],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert done.returncode == 0


@pytest.mark.parametrize("module", modules())
def test_what_all_names_exists(module: str) -> None:
    there = importlib.import_module(module)
    names = list(getattr(there, "__all__", []))
    assert [name for name in names if not hasattr(there, name)] == []
    assert len(names) == len(set(names))
