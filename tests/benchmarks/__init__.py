"""What Slotline promises, measured against the Cal.com simulator. One module per group of rows."""
