"""Places where web or a worker stands still until it is killed or let go: an app that only experiments install."""
