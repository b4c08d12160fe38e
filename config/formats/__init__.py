"""How dates and times are written in the admin: a clock of 24 hours in every language."""
