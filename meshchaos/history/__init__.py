"""What happened in a run, as data: phases, samples, facts. On disk before anything is judged."""
