"""The way of a wish: a time is offered, held, booked, moved or cancelled, and what became of it at Cal.com."""
