"""The account of the gateway's own, which asks for the status of inviters."""

from __future__ import annotations

from gateway.config.settings import Config
from gateway.sims import SimKeys, Sims
from sipstack.net.identity import Identity
from sipstack.sip.digest import Credentials
from sipstack.sip.uri import Uri


def service_identity(config: Config, sims: Sims) -> Identity:
    """Return who ``core.service_account`` is, by password or SIM. Raises OSError, SimError for files of no use."""
    core = config.core
    aor = Uri.parse(core.service_account)
    user = core.service_user or aor.user or ""
    if core.service_sim_file:
        keys = SimKeys.from_file(config.file(core.service_sim_file))
        return Identity(aor, sims.credentials(user, lambda: keys))
    password = config.secret(core.service_password, core.service_password_file)
    return Identity(aor, Credentials.from_password(user, password))
