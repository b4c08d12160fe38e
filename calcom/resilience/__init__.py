"""What keeps requests to Cal.com within its limit, and away from it while it does not answer."""
