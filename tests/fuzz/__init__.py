"""
Fuzzing: any request, with any key.

`companies` have data; `described` sends what the API's description allows, and what it does not; `unsigned` sends where
no key is needed; `foreign` uses one company's ids with another's key; `unknown_keys` tries keys; `secrets` searches for
keys where none may be.
"""
