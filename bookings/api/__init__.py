"""The REST API of voice agents: parse, one call of a service, render. No rule of the domain is in here."""
