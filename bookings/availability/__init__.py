"""
From a question to offers: criteria, calendars, occupancy, rules, ranking. Changes nothing.

`search.py` tells the story; Cal.com is asked at most once per search (docs/adr/0006). Nothing is offered that
Cal.com's list does not contain, that a live claim overlaps, or that the rules of the branch forbid.
"""
