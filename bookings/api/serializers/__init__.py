"""Serializers: requests become values of the domain, responses are described."""
