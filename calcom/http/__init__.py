"""HTTP to Cal.com: one exchange at a time, its meaning as typed values, and where a credential may be sent."""
