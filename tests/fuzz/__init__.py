"""
Experiment 24: whatever is sent, by whomever, with whichever key.

`cast` brings companies that have something; `described` sends what the API's own description allows, and what it does
not; `unsigned` knocks where no key is asked for; `foreign` shows one company's ids with another's key; `guesses` tries
keys; `hunt` looks for keys where none may be.
"""
