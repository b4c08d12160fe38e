"""The database backend: django-prometheus's, with a check of kept connections that costs no statement."""
