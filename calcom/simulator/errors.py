"""The five shapes in which Cal.com refuses (recorded 2026-11-21), one function each."""

from http import HTTPStatus

from calcom.simulator.world import Json

_EXCEPTIONS = {
    400: "BadRequestException",
    401: "UnauthorizedException",
    403: "ForbiddenException",
    404: "NotFoundException",
    409: "ConflictException",
    422: "UnprocessableEntityException",
}


class RefusedError(Exception):
    """Cal.com says no: a status and either the `error` of the usual envelope or a `bare` body."""

    def __init__(self, status: int, *, error: Json | None = None, bare: Json | None = None) -> None:
        super().__init__(status, error or bare)
        self.status = status
        self._error = error
        self._bare = bare

    def body(self, *, path: str, timestamp: str) -> Json:
        """Write the body of the answer to a request for `path`, which includes the query."""
        if self._bare is not None:
            return self._bare
        return {"status": "error", "timestamp": timestamp, "path": path, "error": self._error}


def refused(status: int, message: str) -> RefusedError:
    """Refuse in the usual shape."""
    details = {"message": message, "error": HTTPStatus(status).phrase, "statusCode": status}
    return RefusedError(status, error={"code": _EXCEPTIONS[status], "message": message, "details": details})


def invalid(*errors: Json) -> RefusedError:
    """Refuse with a list of what is wrong, as `violation` writes it."""
    return RefusedError(
        400,
        error={"code": "BadRequestException", "message": "Bad Request Exception", "details": {"errors": list(errors)}},
    )


def violation(target: Json, name: str, **constraints: str) -> Json:
    """Describe one property of `target` that breaks rules, for `invalid`."""
    shown = {"value": target[name]} if name in target else {}
    return {"target": target, **shown, "property": name, "children": [], "constraints": constraints}


def coded(code: str, message: str) -> RefusedError:
    """Refuse without details, as the layer below the API does."""
    return RefusedError(400, error={"code": code, "message": message})


def throttled() -> RefusedError:
    """Refuse because the limit is used up; `details` is text."""
    message = "CustomThrottlerGuard - Too many requests. Please try again later."
    return RefusedError(429, error={"code": "ThrottlerException", "message": message, "details": message})


def bare(status: int, message: str) -> RefusedError:
    """Refuse without an envelope."""
    return RefusedError(status, bare={"statusCode": status, "message": message})


def wrong(name: str, *constraints: str) -> str:
    """Say what is wrong with a property, in the spelling of slots and bookings."""
    return f"{name} property is wrong,{', '.join(constraints)} "


def refuse_wrong(*complaints: str) -> None:
    """Raise the refusal that lists the complaints, if there are any."""
    if complaints:
        raise refused(400, ", ".join(complaints))
