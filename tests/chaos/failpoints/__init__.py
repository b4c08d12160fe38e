"""Failpoints: steps at which web or a worker halts until it is killed or resumed. An app that only tests install."""
