"""Rights in a migration that renames a model: Django renames the content type, not the permissions."""

from typing import Any

from django.db.migrations import RunPython

ACTIONS = ("add", "change", "delete", "view")


def rename_permissions(app_label: str, old: str, new: str) -> RunPython:
    """
    Return the operation that renames the permissions of a renamed model. Users and groups keep them.

    Args:
        old, new: model names in lower case. The migration must depend on `auth` and `contenttypes`.
    """

    def renaming(before: str, after: str) -> Any:
        def run(apps: Any, _editor: Any) -> None:
            permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label=app_label)
            for action in ACTIONS:
                permissions.filter(codename=f"{action}_{before}").update(codename=f"{action}_{after}")

        return run

    return RunPython(renaming(old, new), renaming(new, old))
