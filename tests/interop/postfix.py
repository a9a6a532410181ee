"""Runs Debian's Postfix with a configuration, a queue and a mailbox of its own; the system's are not touched.

It asks for STARTTLS and a password (Cyrus SASL), as a provider's server does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from gateway.lab.ports import free_port
from tests.sipstack.net.certificates import write_certificate

HOST = "127.0.0.1"
USER, PASSWORD = "gateway", "geheim"

PROGRAMS = ("postfix", "saslpasswd2")

PATIENCE = 20.0
"""Seconds that Postfix gets to listen, and a mail to arrive."""

MAIN = """\
compatibility_level = 3.6
config_directory = {folder}
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail.log
maillog_file_prefixes = {folder}
import_environment = MAIL_CONFIG TZ LANG
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.com
mydestination =
mynetworks =
virtual_mailbox_domains = example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_alias_maps =
alias_maps =
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
cyrus_sasl_config_path = {folder}/sasl
smtpd_recipient_restrictions = check_recipient_access inline:{{
 {{full@example.com = 452 4.2.2 mailbox full}}, {{gone@example.com = 550 5.1.1 no such user}} }},
 permit_sasl_authenticated, reject
smtpd_peername_lookup = no
"""

MASTER = """\
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasl/passwords
mech_list: PLAIN LOGIN
"""


def missing() -> str:
    """Return why Postfix cannot be run here, empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} are not installed (postfix, sasl2-bin)"
    return "" if os.geteuid() == 0 else "Postfix is started by root only"


class Postfix:
    """One running Postfix. ``async with`` starts it and stops it, and takes its files away."""

    def __init__(self) -> None:
        self.port = free_port(HOST)
        # not below pytest's folder, which only its owner may enter: Postfix delivers as nobody
        self.folder = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.certificate, self._key = write_certificate(self.folder, "mail")
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._write()
        self._process = await asyncio.create_subprocess_exec(
            "postfix",
            *("-c", str(self.folder), "start-fg"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            await self._listening()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        # what we have started is a script that waits for the master; the master ends its children
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / "queue" / "pid" / "master.pid").read_text()), signal.SIGTERM)
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def mails(self) -> list[EmailMessage]:
        """Return what lies in the mailbox."""
        found = []
        for path in sorted((self.folder / "mail" / "all" / "new").glob("*")):
            message = message_from_bytes(path.read_bytes(), policy=policy.default)
            assert isinstance(message, EmailMessage)
            found.append(message)
        return found

    async def mail(self) -> EmailMessage:
        """Wait for the first mail."""
        async with asyncio.timeout(PATIENCE):
            while not (mails := self.mails()):
                await asyncio.sleep(0.05)
        return mails[0]

    def log(self) -> str:
        """Return what Postfix has to say."""
        path = self.folder / "log" / "mail.log"
        return path.read_text() if path.exists() else ""

    def _write(self) -> None:
        """Lay out the folder: configuration, queue, mailbox, passwords."""
        folder, nobody, postfix = self.folder, pwd.getpwnam("nobody"), pwd.getpwnam("postfix")
        folder.chmod(0o755)
        for name in ("queue", "data", "log", "mail", "sasl"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        shutil.chown(folder / "mail", nobody.pw_uid, nobody.pw_gid)
        values = {"folder": folder, "port": f"{HOST}:{self.port}", "uid": nobody.pw_uid, "gid": nobody.pw_gid}
        values |= {"certificate": self.certificate, "key": self._key}
        (folder / "main.cf").write_text(MAIN.format(**values))
        (folder / "master.cf").write_text(MASTER.format(**values))
        (folder / "sasl" / "smtpd.conf").write_text(SASL.format(**values))
        passwords = folder / "sasl" / "passwords"
        subprocess.run(
            ["saslpasswd2", "-c", "-p", "-f", str(passwords), "-u", "mail.example.com", USER],
            input=PASSWORD.encode(),
            check=True,
        )
        shutil.chown(passwords, postfix.pw_uid)

    async def _listening(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert self._process is not None and self._process.returncode is None, self.log()
                try:
                    _, writer = await asyncio.open_connection(HOST, self.port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return
