"""What stands around every page of the admin: its sidebar, its search, and how things are."""
