"""
Tenants, what they offer, who called, and what was booked: a module per aggregate.

Tenancy by construction: each query starts with `Model.objects.of(company)`, and the company comes from the API key.
What is true of one row lives here: constraints and transitions. Appointments change in `scheduling` and `sync` only.
"""

from bookings.models.access import AgentKey, AgentKeyQuerySet, digest_of
from bookings.models.appointments import (
    LIVE_STATES,
    PLACED_STATES,
    Appointment,
    AppointmentQuerySet,
    AppointmentState,
    Claim,
    ClaimQuerySet,
    SharedBooking,
    SlotToken,
    with_buffers,
)
from bookings.models.base import MAX_FOUND, ClockTimestamp
from bookings.models.callbacks import WAITS_SINCE, CallbackQuerySet, CallbackRequest
from bookings.models.catalog import Service, Staff, StaffService
from bookings.models.conversations import Conversation, ConversationQuerySet, Customer, CustomerQuerySet, ToolCall
from bookings.models.ids import (
    ID_ALPHABET,
    REFERENCE_ALPHABET,
    appointment_id,
    callback_id,
    conversation_id,
    operation_id,
    reference,
    token,
)
from bookings.models.memberships import Membership, Role
from bookings.models.operations import LOOKUP_DELAY, OPEN_STATES, Operation, OperationQuerySet, OperationState
from bookings.models.tenants import Branch, BranchTenantQuerySet, Company, TenantQuerySet, valid_region, valid_zone

__all__ = [
    "ID_ALPHABET",
    "LIVE_STATES",
    "LOOKUP_DELAY",
    "MAX_FOUND",
    "OPEN_STATES",
    "PLACED_STATES",
    "REFERENCE_ALPHABET",
    "WAITS_SINCE",
    "AgentKey",
    "AgentKeyQuerySet",
    "Appointment",
    "AppointmentQuerySet",
    "AppointmentState",
    "Branch",
    "BranchTenantQuerySet",
    "CallbackQuerySet",
    "CallbackRequest",
    "Claim",
    "ClaimQuerySet",
    "ClockTimestamp",
    "Company",
    "Conversation",
    "ConversationQuerySet",
    "Customer",
    "CustomerQuerySet",
    "Membership",
    "Operation",
    "OperationQuerySet",
    "OperationState",
    "Role",
    "Service",
    "SharedBooking",
    "SlotToken",
    "Staff",
    "StaffService",
    "TenantQuerySet",
    "ToolCall",
    "appointment_id",
    "callback_id",
    "conversation_id",
    "digest_of",
    "operation_id",
    "reference",
    "token",
    "valid_region",
    "valid_zone",
    "with_buffers",
]
