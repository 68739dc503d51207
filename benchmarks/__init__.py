"""What is measured (`make bench`), and the lists of names and words that `make weights` needs (`word_lists`)."""
