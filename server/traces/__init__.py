"""What happened in every request, kept: recorded, spooled to disk, shipped to Postgres, read back.

record, reading     the five parts, as they are told; what comes from outside, checked
story, retelling    the same, small: arrays by token, and how events follow from them
trace               one request's trace, as it is spooled and stored
segment, spool      files on disk that survive a crash; who appends to them
shipper             the sidecar's loop: from the spool to where traces go
destinations        Postgres, or another server
store, search       writing and reading Postgres; listing with filters, page by page
tallies, mods       statistics by the hour; registered mods
migrations/         numbered SQL
"""
