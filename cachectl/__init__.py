"""What we may still believe about free slots, and until when. Knows days and slots, knows no Cal.com."""
