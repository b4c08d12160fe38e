"""
Cal.com on loopback, as it was recorded to behave: state, limits, latency, races and faults.

It knows nothing of the rest of this project. Every oddity in here was recorded, or read in the source of API v2, and
says which; the recorded exchanges are replayed against it in `tests/contract/`.
"""

from calcom.simulator.client import SimulatorClient, SimulatorError
from calcom.simulator.faults import Kind
from calcom.simulator.running import Simulator, serving
from calcom.simulator.world import EventType, Hours, Override, User, World, demo

__all__ = [
    "EventType",
    "Hours",
    "Kind",
    "Override",
    "Simulator",
    "SimulatorClient",
    "SimulatorError",
    "User",
    "World",
    "demo",
    "serving",
]
