"""What each type of problem means and what helps: the pages behind ``type`` of problem details (RFC 9457 §3.1.1)."""

from __future__ import annotations

EXPLAINED = {
    # the request
    "bad-request": "The body or the request line cannot be read: it is neither JSON nor XML in UTF-8, or no HTTP.",
    "expectation-failed": "Of all that Expect can ask for, the gateway knows 100-continue only.",
    "headers-too-large": "The header fields of the request are longer than the gateway reads.",
    "invalid": "The request can be read, and a value in it makes no sense. The member field names it; detail says why.",
    "length-required": "A part of a file needs Content-Length, or Upload-Offset beside it.",
    "method-not-allowed": "The path exists; the methods that it takes are in Allow.",
    "not-acceptable": "Answers are application/json or application/xml; Accept wants neither.",
    "not-found": "Nothing is at this path, or what it names does not exist or belongs to somebody else.",
    "range": "The part of the file that Range or the offset of an upload names is not there, or would leave a gap.",
    "request-timeout": "The body did not arrive in time. The same request may be sent again.",
    "too-large": "The body is larger than the gateway, or the other side, takes.",
    "unsupported-media-type": "Bodies are application/json or application/xml; Content-Type says something else.",
    "uri-too-long": "The request line is longer than the gateway reads.",
    # who asks
    "ended": "The invitation is over, or its link was replaced by a newer one. Only who has the right secret is told; "
    "detail has the reason. The inviter can invite again or have the link sent again.",
    "forbidden": "The caller is known, and may not do this. detail says what.",
    "no-relation": "Guests may only talk to those who have invited them, for as long as the invitation lasts.",
    "not-authenticated": "Credentials are missing or wrong. An unknown account and a wrong password look the same.",
    "too-many-requests": "Too many wrong credentials, or too many open streams. Retry-After says when to come again.",
    # who may invite
    "already-subscriber": "The person to invite has an account of the network and needs no invitation: sip_uri is it.",
    "daily-quota": "The subscriber has invited as often as policy.max_per_day allows within 24 hours; revoked "
    "invitations count. Retry-After says when there is room.",
    "inviting-too-fast": "The subscriber has invited as often as policy.max_per_minute allows within 60 seconds. "
    "Retry-After says when there is room.",
    "level-too-low": "The subscriber's level at the UP Center is below policy.min_level.",
    "no-account-left": "Accounts for guests are made by others, and none is free now. Retry-After is there where it is "
    "known when one will be.",
    "no-channel": "The gateway has no way to bring a link to this person, or not the one that via names.",
    "not-permitted": "The UP Center says that this subscriber may not invite.",
    "resent-too-soon": "The link went out less than policy.resend_pause ago. Retry-After says when it may go again.",
    "state-unknown": "Only subscribers may invite who are known to be active (policy.invite), and the UP Center does "
    "not tell of this one.",
    "subscriber-lost": "The subscriber's account or device is reported as lost at the UP Center.",
    "subscriber-suspended": "The subscriber is suspended at the UP Center.",
    "too-many-invitations": "The subscriber has as many invitations at a time as policy.max_invitations allows. One "
    "has to end, by itself or by being revoked; Retry-After says when the first one will.",
    "too-many-lookups": "The subscriber has looked up, or tried to invite, as many subscribers as throttle.lookups "
    "allows. Retry-After says when there is room.",
    # files
    "file-gone": "The file was there, and its octets are not any more.",
    "file-too-large": "The file, or all files together, exceed a limit, which detail names.",
    "file-type-refused": "Files of this media type are not allowed here (files.allow, files.deny).",
    # the other side
    "cancelled": "The network ended the request before it was answered (SIP 487). It may be sent again.",
    "conflict": "The state of what the request is about does not allow it now: something else is being done with it. "
    "The same request may succeed a little later.",
    "media-refused": "The other side's client does not take messages of this media type (SIP 415, MSRP 415).",
    "peer-busy": "The other side takes no chat now (SIP 486, 600).",
    "peer-declined": "The other side has declined (SIP 603, 607, 608).",
    "peer-gone": "The other side's account does not exist any more (SIP 410).",
    "peer-offline": "The other side is not online (SIP 480, 430, or as the last look-up of the status told).",
    "session-gone": "The chat was over before the message could be sent in it (SIP 481, MSRP 481, 506). Send it again.",
    "unknown-user": "The network knows nobody by this name (SIP 404, 484, 604).",
    "unsupported-by-peer": "The other side's client lacks what the chat or the message needs (SIP 406, 415, 488, 606).",
    # the network, and we
    "core-unreachable": "The gateway finds no way to the core, or the core takes no connections. Nothing was sent.",
    "internal": "A fault of the gateway. Its log has the details under the id that trace tells.",
    "not-implemented": "The network does not know the SIP method that this takes (SIP 501).",
    "unavailable": "Something that the gateway needs does not work now: core, store, UP Center, or a server of theirs. "
    "The same request may succeed later.",
    "upstream-auth": "The core does not take the gateway's or the account's credentials: realm, algorithm or password "
    "differ. This is for the operator.",
    "upstream-error": "The network failed at the request (SIP 500, 502).",
    "upstream-forbidden": "The network does not allow this (SIP 403, MSRP 403).",
    "upstream-loop": "Requests go round in the network (SIP 482, 483). This is for the operator.",
    "upstream-redirect": "The network names another place for the request, and the gateway does not go there (3xx).",
    "upstream-refused": "The core, or a service beside it, refused the request. detail has its words.",
    "upstream-timeout": "No answer came in time, so that nobody knows whether the request was carried out (SIP 408, "
    "504). Send it again with the same id: nothing is done twice.",
    "upstream-unavailable": "The network has no room for the request now (SIP 503).",
}
"""Type → what it means, for who writes clients of the gateway."""
