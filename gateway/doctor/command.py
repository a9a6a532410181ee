"""``rcsgw doctor``: the examination from the command line."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
from rich.console import Console

from gateway.config.settings import Config
from gateway.doctor.base import Finding, Verdict
from gateway.doctor.examination import TIMEOUT, diagnose
from gateway.doctor.patient import Patient
from gateway.doctor.report import as_json, show, verdict_of

SOMETHING_FAILED = 1
UNREADABLE = 2
"""Exit statuses; 0 where nothing has failed."""

PIPE_WIDTH = 200
"""Columns of a table that goes into a pipe or a file."""


def unreadable(path: Path, why: str) -> Finding:
    """Return the only finding about a configuration that cannot be read."""
    remedy = "Correct it; config/gateway.toml explains every key."
    return Finding("configuration.file", f"read {path}", Verdict.FAILED, why, remedy)


def examine_and_tell(
    config: Config, *, only: tuple[str, ...], timeout: float | None, mail_to: str, json: bool
) -> Verdict:
    """Examine, print, and return the worst verdict. Raises click.UsageError for a seam that does not exist."""
    # what goes wrong is a finding; the log would say it twice
    logging.basicConfig(level=logging.CRITICAL)
    try:
        findings = asyncio.run(diagnose(Patient(config, mail_to), only=only, timeout=timeout or TIMEOUT))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    tell(findings, json=json)
    return verdict_of(findings)


def tell(findings: list[Finding], *, json: bool) -> None:
    """Print findings as a table or as JSON."""
    if json:
        click.echo(as_json(findings))
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    show(findings, console)
