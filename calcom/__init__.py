"""
Cal.com as our code sees it. `CalcomService` is the one door: typed values in and out, no dictionaries.

- `http`: one exchange at a time and its meaning. The only place that imports an HTTP client.
- `resilience`: rate limiter and circuit breaker, which every request must pass.
- `webhooks`: inbox, polling, and the events they publish.
- `simulator`: Cal.com on loopback, as recorded. It imports nothing of ours and is not in the production image.

Errors say what may have happened there: `Unavailable` (nothing), `Refused` (no), `OutcomeUnknown` (undecided).
"""
