"""What Cal.com reports: webhooks received, stored and dispatched, and polling for those that were lost."""
