"""What others do with the same callers: agents that ask Cal.com themselves, an earlier gateway, an HTTP cache."""
