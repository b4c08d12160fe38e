"""
Who wants what: companies and what they offer, callers, appointments, and the API of voice agents.

- `models`: tables, constraints and transitions. Each query starts at the company.
- `availability`: a question becomes offers. Reads only.
- `scheduling`: a request becomes an appointment. Only here and in `sync` do appointments change.
- `sync`: applies what Cal.com reports to our rows.
- `language`: what is said to callers.
- `api`, `admin`, `tasks`: the entries. They parse, make one call and render.

No transaction is open during a call to Cal.com, and nothing after a committed outcome may fail the request.
"""
