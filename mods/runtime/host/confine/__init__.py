"""What a host may not do, and how the kernel is made to see to it. One layer a file."""
