"""Cal.com as our code sees it: one door, typed results, and the simulator that stands in for it."""
