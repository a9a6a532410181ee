"""What drivers and store could not do, as the refusal that the HTTP client is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator

from gateway.drivers import DriverError
from gateway.services import ServiceError, Unavailable, UpstreamRefused
from gateway.storage.errors import StoreError
from gateway.upstream import from_exception
from sipstack.errors import SipstackError
from translators import status

log = logging.getLogger("rcsgw.invitations")


def service_error(error: DriverError) -> ServiceError:
    """Return what an HTTP client is told about a driver that failed."""
    if isinstance(error.__cause__, SipstackError):
        return from_exception(error.__cause__)
    if error.temporary:
        return Unavailable(str(error), retry_after=5)
    outcome = status.REFUSED_BY_CORE
    return UpstreamRefused(outcome.status, outcome.type, outcome.title, str(error), retryable=False)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what store and drivers raise into refusals."""
    try:
        yield
    except StoreError as error:
        log.error("the store: %s", error)
        raise Unavailable("The store does not work now.", retry_after=5) from error
    except DriverError as error:
        log.warning("refused, because a driver fails: %s", error)
        raise service_error(error) from error


@contextlib.asynccontextmanager
async def deadline(until: float) -> AsyncIterator[None]:
    """Cancel what is inside at this monotonic time, and answer 503."""
    try:
        async with asyncio.timeout(max(until - time.monotonic(), 0)):
            yield
    except TimeoutError:
        raise Unavailable("The network takes too long to answer.", retry_after=2) from None
