"""The endpoints of the agents' API, by resource."""
