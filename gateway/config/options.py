"""How commands name the configuration file, and read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gateway.config.load import ConfigError, load
from gateway.config.settings import Config


def configured(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Read a configuration file, or end the program with every mistake in it."""
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise click.UsageError(f"--set {override}: write it as section.key=value")
        values[key] = _literal(value)
    try:
        return load(path, values)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _literal(text: str) -> Any:
    """Return the TOML-like value of an override; what is no JSON is a string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Configuration file (TOML); see config/gateway.toml for every key.",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. http.listen=127.0.0.1:8081."
)
