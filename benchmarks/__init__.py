"""How fast the package is on this machine, against a plain PyTorch loop and what the machine can do: `make bench`."""
