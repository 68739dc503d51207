"""Files, archives and progress: what every other folder uses."""
