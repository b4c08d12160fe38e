"""What Cal.com has, mirrored here: told by webhooks, found by polling, compared on demand."""
