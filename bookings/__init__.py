"""Who wants what: tenants, services, callers, appointments, and the API that voice agents use."""
