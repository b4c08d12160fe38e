"""
Voice platforms: verify, normalise, call, render. No rule of the domain is in here.

A tool call becomes a request to the agents' API in the same process (`rest`), so that every platform gets exactly what
REST answers; `results` puts it into one line for a model. A module per platform knows its envelope and signature.
"""
