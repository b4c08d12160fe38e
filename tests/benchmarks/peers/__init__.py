"""What Slotline is compared with: agents that ask Cal.com themselves, an earlier gateway, an HTTP cache."""
