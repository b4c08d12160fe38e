"""GET /v1/operations/{id}."""

import re
from typing import ClassVar

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from bookings.api import openapi, presenters
from bookings.api.problems import problem_of
from bookings.api.views.base import AgentView
from bookings.models import AgentKey, Operation
from bookings.scheduling import execution

_OPERATION_ID = re.compile(r"op_[0-9A-Z]{16}")


class OperationView(AgentView):
    scopes: ClassVar = {"GET": AgentKey.Scope.BOOKINGS_READ}
    works_after_call = True

    @openapi.get_operation
    def get(self, _request: Request, operation_id: str) -> Response:
        """Return the outcome of a pending write."""
        operation = _operation(self.context.key, operation_id)
        self.context = self.context.about(operation.appointment.service)
        language = self.context.language
        body = {
            "ok": True,
            "status": presenters.status_of(operation),
            "operation": presenters.operation(operation),
            "booking": presenters.booking(operation.appointment, language=language),
            **_spoken(operation, language),
        }
        retry_after = presenters.retry_after(operation)
        return Response(body, headers={"Retry-After": retry_after} if retry_after else None)


def _spoken(operation: Operation, language: str) -> dict[str, object]:
    """Return the sentence and hint; of a refusal those that the caller would have heard had they waited."""
    if operation.state != Operation.State.REFUSED:
        return presenters.outcome(operation, language=language)
    problem = problem_of(execution.refusal(operation))
    return {"spoken": problem.spoken(language), "agent_hint": problem.hint}


def _operation(key: AgentKey, operation_id: str) -> Operation:
    """Return the operation, if the key's company (and branch, where it has one) has it."""
    found = Operation.objects.of(key.company).select_related("appointment__branch", "appointment__service__branch")
    if key.branch_id:
        found = found.filter(appointment__branch=key.branch_id)
    operation = found.filter(public_id=operation_id).first() if _OPERATION_ID.fullmatch(operation_id) else None
    if operation is None:
        raise NotFound("There is no operation with this id.")
    return operation
