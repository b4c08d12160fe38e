"""
The day cache: what is known of free slots, and how fresh it is. It knows days and slots, and no Cal.com.

Owns the Redis keys of days, leases, demand and warming, and the tables CacheInvalidation and Warming. Days are
loaded by the loader that calcom registers. `infra` knows no slots: any project could use it.
"""
