"""What the outside may know about us: metrics, health, logs. Imports no app of ours."""
