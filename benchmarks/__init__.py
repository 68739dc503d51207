"""How fast the package is on this machine, compared with a plain PyTorch loop and the machine's limits: `make bench`."""
