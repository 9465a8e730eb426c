"""The only room that orders the others: plan, phases, lock, stop conditions, heal; emits typed events."""
