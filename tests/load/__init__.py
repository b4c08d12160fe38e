"""
The load scenarios: callers on the phone, and a verdict on what they were told.

`locustfile.py` is the callers. `conductor.py` brings them and Slotline together and writes down what Cal.com, our rows
and the queues say; `verdict.py` makes rows of it. What is missing there is a broken row, never a kept one (FM-80).
"""
