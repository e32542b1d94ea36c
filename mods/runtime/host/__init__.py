"""The processes around session machines: a zygote, the hosts it forks, and both their clients."""
