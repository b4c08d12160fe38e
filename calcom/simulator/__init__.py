"""
Cal.com on loopback, as it was recorded to behave: state, limits, latency, races and faults.

A program of its own that imports nothing else of this project. What deviates from Cal.com's documentation was recorded
or read in the source of API v2, and says so; `tests/contract/` replays the recorded exchanges against it.
"""

from calcom.simulator.app import App
from calcom.simulator.client import SimulatorClient, SimulatorError
from calcom.simulator.dataset import WEEKDAYS, Dataset, EventType, Hours, Override, User, demo
from calcom.simulator.runner import Simulator, serving
from calcom.simulator.traffic import LIMIT, Fault, Kind
from calcom.simulator.webhooks import TRIGGERS, sign

__all__ = [
    "LIMIT",
    "TRIGGERS",
    "WEEKDAYS",
    "App",
    "Dataset",
    "EventType",
    "Fault",
    "Hours",
    "Kind",
    "Override",
    "Simulator",
    "SimulatorClient",
    "SimulatorError",
    "User",
    "demo",
    "serving",
    "sign",
]
