"""OpenAPI 3.1 from the routes and from the structs that check the bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from gateway.http.routes import Parameter, Route
from translators.model import Body, Problem

_REFERENCE = "#/components/schemas/{name}"

_ERRORS = {
    "inviter": (400, 401, 403, 404, 406, 409, 415, 422, 429, 502, 503, 504),
    "guest": (400, 401, 403, 404, 406, 409, 410, 413, 415, 422, 429, 502, 503, 504),
    "anybody": (404, 406),
}
"""What callers have to expect, by who they are."""


def document(routes: Iterable[Route], public_url: str) -> dict[str, Any]:
    """Return the whole document for these calls."""
    routes = list(routes)
    models: set[type[Body]] = {Problem}
    for route in routes:
        models.update(model for model in (route.body, *route.answers.values()) if isinstance(model, type))
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rcsgw",
            "version": _version(),
            "description": "Lets a subscriber of an RCS/IMS network chat with anybody. Every body can be JSON or XML: "
            "the XML is the same tree with element names equal to the JSON keys.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url or "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "inviter": {"type": "http", "scheme": "basic", "description": "UID or identity, and password"},
                "guest": {"type": "http", "scheme": "basic", "description": "Account without sip:, and login secret"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.caller],
        "security": _security(route),
        "responses": {str(status): _answer(status, model) for status, model in route.answers.items()},
    }
    if route.shows_page:
        operation["responses"]["200"]["content"]["text/html"] = {"schema": {"type": "string"}}
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route.path)]
    parameters += [_parameter(parameter) for parameter in route.parameters]
    if parameters:
        operation["parameters"] = parameters
    if isinstance(route.body, str):
        schema = {"type": "string", "format": "binary"}
        operation["requestBody"] = {"required": False, "content": {route.body: {"schema": schema}}}
    elif route.body is not None:
        required = bool(msgspec.json.schema(route.body)["$defs"][route.body.__name__].get("required"))
        operation["requestBody"] = {"required": required, "content": _content(route.body)}
    for status in _ERRORS[route.caller]:
        operation["responses"].setdefault(str(status), _answer(status, Problem))
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.caller == "anybody":
        return []
    return [{}, {route.caller: []}] if route.shows_page else [{route.caller: []}]


def _operation_id(route: Route) -> str:
    name = getattr(route.call, "__name__", "call")
    return f"{route.caller}_{name}"


def _answer(status: int, model: type[Body] | str | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _DESCRIPTIONS[status]}
    if isinstance(model, str):
        answer["content"] = {model: {}}
    elif model is not None:
        answer["content"] = _content(model)
        if any(name == "events" for name in model.__struct_fields__):
            answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return answer


_DESCRIPTIONS = {
    200: "Done",
    201: "Made",
    202: "Taken; the outcome follows as an event",
    204: "Done, nothing to say",
    206: "The part that was asked for",
    302: "Elsewhere; Location says where",
    400: "The request cannot be read",
    401: "Credentials are missing or wrong",
    403: "Not allowed",
    404: "Not found",
    406: "Neither JSON nor XML is acceptable",
    408: "The body did not arrive in time",
    411: "A part of a file needs a length",
    416: "There is no such part",
    409: "The state of things or of the other side forbids it",
    410: "The invitation is over",
    413: "Too large",
    415: "The body is neither JSON nor XML",
    422: "A value makes no sense; detail and field name it",
    429: "Too many wrong credentials or open streams; Retry-After tells how long to wait",
    502: "The network refused or failed",
    503: "Not available now",
    504: "The network did not answer in time",
}


def _content(model: type[Body]) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name=model.__name__)}
    infix = "problem+" if model is Problem else ""
    return {
        f"application/{infix}json": {"schema": schema},
        f"application/{infix}xml": {"schema": {**schema, "xml": {"name": model.element}}},
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": False,
        "description": parameter.description,
        "schema": {"type": parameter.type},
    }


def _version() -> str:
    try:
        return version("rcsgw")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "0"
