"""
What Cal.com reports becomes true here: webhooks, polling and reconciliation end in the same step.

`classify.py` compares a remote booking with our rows and decides; `apply.py` changes them. A message is never trusted
for more than it says: it may be late, repeated, out of order, or of another account.
"""
