"""
From a request to an appointment: offers, holds, bookings, reschedules, cancellations, and their outcome at Cal.com.

A request is stored once, with its claims and its operation, before anything is sent. The outcome is committed
together with the invalidation of the cache. An unknown outcome is looked up before anything is sent again. Writers
lock the hosts first (`claims.py`).
"""
