"""What people at the desk may see and do: rows by their memberships, rights by their role."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, TypeVar

from django.contrib.auth.backends import ModelBackend
from django.db.models import Model, Q, QuerySet
from django.utils.functional import cached_property

from bookings.models import Branch, Company, Membership, Role
from calcom.models import Account
from monitoring.tenancy import Paths

M = TypeVar("M", bound=Model)
_OPERATED = frozenset({"bookings", "calcom", "cachectl", "monitoring"})
"""Apps whose every right an operator has. People and their rights are a superuser's."""


def _rights(app: str, **verbs: str) -> frozenset[str]:
    return frozenset(f"{app}.{verb}_{model}" for verb, models in verbs.items() for model in models.split())


_PROVIDER = _rights("bookings", view="appointment operation claim", change="appointment")
_RECEPTION = _PROVIDER | _rights(
    "bookings",
    view="company branch service staff staffservice customer conversation toolcall callbackrequest",
    add="appointment",
    change="callbackrequest customer",
)
_OWNER = (
    _RECEPTION
    | _rights(
        "bookings",
        view="agentkey membership slottoken sharedbooking",
        add="branch service staff staffservice customer agentkey",
        change="company branch service staff staffservice agentkey",
        delete="branch service staff staffservice customer",
    )
    | _rights("calcom", view="account eventtype host", change="account")
)
RIGHTS = {Role.PROVIDER: _PROVIDER, Role.RECEPTION: _RECEPTION, Role.OWNER: _OWNER}


@dataclass(frozen=True)
class Scope:
    """
    What one person may see and do.

    With several roles it is what the least of them allows: `Membership.clean` refuses them, the database cannot.
    """

    memberships: tuple[Membership, ...] = ()
    is_superuser: bool = False

    @cached_property
    def role(self) -> Role | None:
        """The person's role; None for a person without any, who sees nothing."""
        if self.is_superuser:
            return Role.OPERATOR
        held = {membership.role for membership in self.memberships}
        return next((role for role in Role if role in held), None)

    @property
    def sees_everything(self) -> bool:
        """Whether the person is an operator: of all companies."""
        return self.role is Role.OPERATOR

    @property
    def company_ids(self) -> frozenset[int]:
        """The companies of the person; empty for operators, who see all."""
        return frozenset(each.company_id for each in self.memberships if each.company_id)

    @property
    def staff_ids(self) -> frozenset[int]:
        """The person's own calendars, as primary keys of `Staff`; empty for all who are no providers."""
        return frozenset(each.staff_id for each in self.memberships if each.staff_id)

    def companies(self) -> QuerySet[Company]:
        """Return the companies that the person may see."""
        return self.rows(Company.objects.all(), {"company": "pk", "staff": "branches__staff"})

    def branches(self) -> QuerySet[Branch]:
        """Return the branches that the person may see."""
        return self.rows(Branch.objects.all(), {"company": "company", "branch": "pk", "staff": "staff"})

    def may(self, right: str) -> bool:
        """Return whether the role has a right, such as "bookings.change_appointment"."""
        if self.role is Role.OPERATOR:
            return right.partition(".")[0] in _OPERATED
        return self.role is not None and right in RIGHTS[self.role]

    def rows(self, rows: QuerySet[M], paths: Paths) -> QuerySet[M]:
        """
        Return those of the rows that the person may see.

        `paths` leads to `company`, `branch`, `staff`, `host` or `account`; without any, rows are for operators. Rows
        without a branch are seen in all branches. An account is seen by a company that shares it with no other.
        """
        if self.sees_everything:
            return rows
        parts = [part for each in self.memberships if (part := self._rows_of(each, paths)) is not None]
        return rows.filter(reduce(or_, parts)) if parts else rows.none()

    def _rows_of(self, each: Membership, paths: Paths) -> Q | None:
        if each.staff:
            return _own_rows(each, paths)
        if "company" not in paths:
            return Q(**{f"{paths['account']}__in": self._own_accounts()}) if "account" in paths else None
        of_company = Q(**{paths["company"]: each.company_id})
        if each.branch_id is None or "branch" not in paths:
            return of_company
        branch = paths["branch"]
        return of_company & (Q(**{branch: each.branch_id}) | Q(**{f"{branch}__isnull": True}))

    def _own_accounts(self) -> QuerySet[Account, int]:
        """Return the accounts that serve the person's companies and no other."""
        others = Company.objects.exclude(pk__in=self.company_ids).values("account")
        own = Company.objects.filter(pk__in=self.company_ids).exclude(account__in=others)
        return own.values("account")  # type: ignore[return-value]  # ids of accounts


def _own_rows(each: Membership, paths: Paths) -> Q | None:
    """Return which rows a provider sees: those of their own calendar, of their own company."""
    if "staff" in paths:
        return Q(**{paths["staff"]: each.staff_id})
    if each.staff and "host" in paths and "company" in paths:
        return Q(**{paths["host"]: each.staff.host_id, paths["company"]: each.company_id})
    return None


def scope_of(user: Any) -> Scope:
    """Return what `user` may see and do: one statement for each user object, none for superusers."""
    if not user.is_active:
        return Scope()
    if user.is_superuser:
        return Scope(is_superuser=True)
    known: Scope | None = getattr(user, "slotline_scope", None)
    if known is None:
        known = Scope(tuple(Membership.objects.filter(user=user).select_related("staff", "company")))
        user.slotline_scope = known
    return known


class RowsOfRoles:
    """Answers what the admin asks: see `monitoring.tenancy.Provider`."""

    def rows(self, user: Any, rows: QuerySet[M], paths: Paths) -> QuerySet[M]:
        """Return those of the rows that `user` may see."""
        return scope_of(user).rows(rows, paths)


class RoleBackend(ModelBackend):
    """
    Gives people the rights of their role; passwords are checked as Django does.

    Rights that were given one by one count for people without a role only: no page reads them for others.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Return whether the person's role has the right, on whichever row they may see."""
        scope = Scope() if user_obj.is_anonymous else scope_of(user_obj)
        return scope.may(perm) if scope.role is not None else super().has_perm(user_obj, perm, obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Return whether the person's role has any right in the app."""
        scope = Scope() if user_obj.is_anonymous else scope_of(user_obj)
        if scope.role is None:
            return super().has_module_perms(user_obj, app_label)
        return scope.may(f"{app_label}.") if scope.sees_everything else _sees_app(scope, app_label)


def _sees_app(scope: Scope, app_label: str) -> bool:
    return scope.role is not None and any(right.startswith(f"{app_label}.") for right in RIGHTS[scope.role])
