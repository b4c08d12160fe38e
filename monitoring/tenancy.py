"""
Which rows a person sees in the admin: every model admin and inline answers through the mixins here.

What a person may see is known further up: that app registers a provider. Without one, only superusers see anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from django.contrib.admin import AdminSite
from django.db.models import Field, Model, QuerySet
from django.http import Http404, HttpRequest
from unfold.contrib.filters.admin.autocomplete_filters import AutocompleteSelectFilter
from unfold.contrib.filters.forms import AutocompleteDropdownForm

M = TypeVar("M", bound=Model)
Paths = Mapping[str, str]
"""How a model reaches what a scope is made of, as lookups by a name that the provider knows: {"company": "pk"}."""

OPERATORS: Paths = {}
"""For models that belong to no company, or to several: only operators see them."""


class Provider(Protocol):
    """Knows what people may see."""

    def rows(self, user: Any, rows: QuerySet[M], paths: Paths) -> QuerySet[M]:
        """Return those of the rows that `user` may see."""


class _SuperusersOnly:
    def rows(self, user: Any, rows: QuerySet[M], paths: Paths) -> QuerySet[M]:  # noqa: ARG002  the provider's signature
        return rows if user.is_active and user.is_superuser else rows.none()


_registered: list[Provider] = [_SuperusersOnly()]


def register(provider: Provider) -> None:
    """Ask `provider` from now on."""
    _registered.append(provider)


def visible(request: HttpRequest, rows: QuerySet[M], paths: Paths) -> QuerySet[M]:
    """Return those of the rows that the request's user may see."""
    return _registered[-1].rows(request.user, rows, paths)


def visible_of(site: AdminSite, model: type[M], request: HttpRequest) -> QuerySet[M]:
    """Return the rows of `model` that the request's user may see: as its page in the admin says, else none."""
    page = site.get_model_admin(model) if site.is_registered(model) else None
    return visible(request, model._default_manager.all(), getattr(page, "tenancy", None) or OPERATORS)  # noqa: SLF001  documented


class ScopedChoices:
    """For inlines, whose rows belong to a row that is scoped: what can be chosen is what the user may see."""

    admin_site: AdminSite

    def formfield_for_foreignkey(self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", visible_of(self.admin_site, db_field.related_model, request))  # type: ignore[arg-type]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]  # the admin class beside it

    def formfield_for_manytomany(self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", visible_of(self.admin_site, db_field.related_model, request))  # type: ignore[arg-type]
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


class Scoped(ScopedChoices):
    """
    For model admins: lists, pages, actions, history and autocompletes know the rows that the user may see, no others.

    `tenancy` says how the model reaches its company. A page of a row that the user may not see answers 404, as for a
    row that does not exist.
    """

    tenancy: ClassVar[Paths | None] = None
    guarded: Sequence[str] = ()
    """Relations to rows that the user may not be shown: then they are read, and cannot be changed."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the user may see; without an answer in `tenancy`, operators only."""
        rows: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]  # of the admin class beside it
        return visible(request, rows, self.tenancy or OPERATORS)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Return what is only shown: of `guarded`, what leads to a row that the user may not see."""
        readonly = list(super().get_readonly_fields(request, obj))  # type: ignore[misc]
        hidden = [name for name in self.guarded if obj is not None and self._is_hidden(request, obj, name)]
        return readonly + hidden

    def _is_hidden(self, request: HttpRequest, obj: Model, name: str) -> bool:
        known: dict[tuple[str, Any], bool] = request.__dict__.setdefault("hidden_relations", {})
        field = obj._meta.get_field(name)  # noqa: SLF001  documented
        key = (str(field), obj.pk)
        if key not in known:
            rows: QuerySet[Any] = visible_of(self.admin_site, field.related_model, request)  # type: ignore[arg-type]
            known[key] = not rows.filter(pk=getattr(obj, f"{name}_id")).exists()
        return known[key]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """
        Return the row.

        Raises:
            Http404: there is none, or the user may not see it.
        """
        row = super().get_object(request, object_id, from_field)  # type: ignore[misc]
        if row is None:
            raise Http404
        return row

    def log_all(self, request: HttpRequest, rows: Iterable[Model], sentence: str) -> None:
        """Write into the history of each row what the request's user did."""
        for row in rows:
            self.log_change(request, row, sentence)  # type: ignore[attr-defined]  # of the admin class beside it


class _ChoiceForm(AutocompleteDropdownForm):  # type: ignore[misc]  # it has no types
    """Shows the name of the chosen row only to users who may see the row."""

    def __init__(self, request: HttpRequest, name: str, *, field: Any, model_admin: Any, **kwargs: Any) -> None:
        super().__init__(request, name, field=field, model_admin=model_admin, **kwargs)
        rows = visible_of(model_admin.admin_site, field.remote_field.model, request)
        self.fields[name].queryset = rows


class ChosenFilter(AutocompleteSelectFilter):  # type: ignore[misc]  # it has no types
    """A filter by a relation, whose rows are found by typing."""

    form_class = _ChoiceForm
