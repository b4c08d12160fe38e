"""
Metrics, health, logs and the pages that show them. Imports no app of ours.

Apps register probes and collectors in `AppConfig.ready()`. Labels and log fields never hold a caller's words, a
secret or a uid.
"""
